"""Typed answers: from a schema to a constraint, a parser, and the type of the value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from ramify.dsl.marker import need_plain
from ramify.errors import ConstraintError, ProgramError
from ramify.ir import Constraint


class Outline(BaseModel):
    """A list of points: what `rf.gen(name, schema=rf.Outline)` gives."""

    points: list[str]


def constraint_of(
    regex: str | None, schema: Any, grammar: str | None, choices: Any
) -> tuple[Constraint | None, Callable[[str], Any] | None, Any]:
    """The constraint of a `gen`, the parser of its text, and the annotation of its value.

    Raises ProgramError where more than one is given, ConstraintError where one is invalid.
    """
    pairs = {"regex": regex, "schema": schema, "grammar": grammar, "choices": choices}
    given = [name for name, value in pairs.items() if value is not None]
    if len(given) > 1:
        raise ProgramError(f"{' and '.join(given)} at once.", hint="Give one of them.")
    for name, text in (("regex", regex), ("grammar", grammar)):
        if text is not None and not isinstance(text, str):
            raise ConstraintError(f"{name}={text!r} is not a string.", hint="Give it as text.")
    need_plain("the constraint", [regex, grammar, schema])
    if regex is not None:
        try:
            re.compile(regex)
        except re.error as error:
            raise ConstraintError(
                f"the regex {regex!r} is invalid: {error}.", hint="Python's re reads it."
            ) from error
        return Constraint("regex", regex), None, str
    if grammar is not None:
        return Constraint("grammar", grammar), None, str
    if choices is not None:
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise ConstraintError(
                f"choices={choices!r} is not a list.", hint='Write choices=["good", "bad"].'
            )
        texts = tuple(str(choice) for choice in choices)
        need_plain("choices", texts)
        return Constraint("choices", choices=texts), None, str
    if schema is not None:
        return _schema(schema)
    return None, None, str


def _schema(schema: Any) -> tuple[Constraint, Callable[[str], Any], Any]:
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise ConstraintError(
                f"the schema {schema[:60]!r} is not JSON: {error}.",
                hint="Give a JSON schema, a dict, a pydantic model or a type.",
            ) from error
    if isinstance(schema, dict):
        return Constraint("schema", _compact(schema)), json.loads, Any
    try:
        text, parse = _of_type(schema)
    except PydanticUserError as error:
        raise ConstraintError(
            f"no schema can be made from {schema!r}: {str(error).splitlines()[0]}",
            hint="Give a JSON schema, a dict, a pydantic model or a type.",
        ) from error
    return Constraint("schema", text), parse, schema


def _of_type(kind: Any) -> tuple[str, Callable[[str], Any]]:
    """The JSON schema of a type as text, and its parser. Raises PydanticUserError.

    The same type has the same parser: equal generations of several rows are then equal work.
    """
    try:
        hash(kind)
    except TypeError:
        return _made(kind, "")
    return _remembered(kind, repr(kind))


def _made(kind: Any, _spelled: str) -> tuple[str, Callable[[str], Any]]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return _compact(_closed(adapter.json_schema())), adapter.validate_json


# by how it is spelled, too: Literal["a", "b"] equals Literal["b", "a"], but is written otherwise
_remembered = lru_cache(maxsize=256)(_made)


def _closed(schema: Any) -> Any:
    """The schema without keys beyond those that its objects name: a model must come to an end."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(item) for key, item in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _compact(schema: dict[str, Any]) -> str:
    """One line; keys stay in their order, in which a model writes the fields."""
    return json.dumps(schema, separators=(",", ":"))
