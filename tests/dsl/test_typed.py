import json
from typing import Any, Literal

import pydantic
import pytest

import ramify as rf
from ramify.dsl.typed import constraint_of
from ramify.errors import ConstraintError, ProgramError


class Inner(pydantic.BaseModel):
    zeta: int
    alpha: str = "x"


class Outer(pydantic.BaseModel):
    inner: list[Inner]
    kind: Literal["a", "b"]


def schema_of(schema: object) -> dict:
    constraint, parse, _ = constraint_of(None, schema, None, None)
    assert constraint is not None and constraint.kind == "schema" and parse is not None
    return json.loads(constraint.text)


def test_fields_stay_in_the_order_of_their_author_and_objects_are_closed() -> None:
    schema = schema_of(Outer)
    inner = schema["$defs"]["Inner"]
    assert list(inner["properties"]) == ["zeta", "alpha"]
    assert inner["additionalProperties"] is schema["additionalProperties"] is False


def test_types_and_json_schemas() -> None:
    assert schema_of(int) == {"type": "integer"}
    assert schema_of(list[str]) == {"items": {"type": "string"}, "type": "array"}
    own = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert schema_of(own) == schema_of(json.dumps(own)) == own


def test_parsers_give_typed_values() -> None:
    _, parse, annotation = constraint_of(None, Outer, None, None)
    assert parse is not None and annotation is Outer
    made = parse('{"inner":[{"zeta":3}],"kind":"b"}')
    assert made == Outer(inner=[Inner(zeta=3)], kind="b")
    with pytest.raises(ValueError):
        parse('{"inner":[],"kind":"c"}')


def test_what_cannot_mean_anything_is_refused() -> None:
    class Odd(pydantic.BaseModel):
        next: "Missing"  # type: ignore[name-defined]  # noqa: F821

    for schema in (object(), Odd, "{not json"):
        with pytest.raises(ConstraintError):
            constraint_of(None, schema, None, None)
    with pytest.raises(ProgramError, match="regex and choices at once"):
        constraint_of("a", None, None, ["a"])


@pytest.mark.parametrize("schema", [list[str], Literal["a", "b"], dict[str, int]])
def test_equal_typed_generations_of_several_rows_are_done_once(schema: Any) -> None:
    @rf.program
    def p(s: rf.State, text: str) -> Any:
        s += rf.user(text)
        s += rf.assistant(rf.gen("found", schema=schema, max_tokens=64))
        return s["found"]

    backend = rf.FakeBackend()
    results = p.run_batch([{"text": "a"}, {"text": "a"}, {"text": "b"}], backend=backend)
    assert len(backend.calls) == 2 and results[0].value == results[1].value


def test_types_that_are_equal_but_written_otherwise_are_told_apart() -> None:
    one, _, _ = constraint_of(None, Literal["a", "b"], None, None)
    other, _, _ = constraint_of(None, Literal["b", "a"], None, None)
    assert one is not None and other is not None and one.text != other.text
    (_, first, _), (_, second, _) = (
        constraint_of(None, kind, None, None) for kind in (int | str, str | int)
    )
    assert first is not second
