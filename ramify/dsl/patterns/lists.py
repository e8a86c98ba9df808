"""Short lists that a model plans: tasks to hand out, steps to carry out."""

from __future__ import annotations

import json

from ramify.dsl.operations import Gen
from ramify.ir import Constraint, Sampling

ITEM_CHARACTERS = 160


def list_constraint(limit: int) -> Constraint:
    """A JSON list of at most `limit` texts; it may be empty."""
    item = {"type": "string", "minLength": 1, "maxLength": ITEM_CHARACTERS}
    schema = {"type": "array", "items": item, "maxItems": limit}
    return Constraint("schema", json.dumps(schema, separators=(",", ":")))


def read_list(text: str) -> list[str]:
    """The texts of a JSON list; nothing where there is none: the model has nothing to hand out."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    items = found if isinstance(found, list) else []
    return [" ".join(item.split()) for item in items if isinstance(item, str) and item.strip()]


def planned_list(name: str, limit: int, tokens: int) -> Gen:
    """A generation whose value is a list of at most `limit` texts."""
    return Gen(
        name,
        Sampling(max_tokens=tokens),
        list_constraint(limit),
        parse=read_list,
        annotation=list[str],
        lenient=True,
    )
