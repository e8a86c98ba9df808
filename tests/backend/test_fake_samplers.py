"""The fake backend's samplers draw what the real checkers accept."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from random import Random
from typing import Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from ramify.backend.fake.regex_sampler import sample_regex
from ramify.backend.fake.schema_sampler import sample_schema
from ramify.errors import CapabilityError, ConstraintError

ATOMS = st.sampled_from(
    ["a", "b", r"\d", r"\w", r"\s", ".", "[a-c]", r"[^a\d]", r"\.", "(?:xy)", "é", r"[\W_]", "[^x]"]
)
REGEXES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda p: f"({p[0]}){p[1]}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(REGEXES, st.integers(0, 99))
def test_regexes_match_their_draws(pattern: str, seed: int) -> None:
    assert re.fullmatch(pattern, sample_regex(pattern, Random(seed)))


@pytest.mark.parametrize(
    "pattern",
    [r"^abc$", r"(a|b)\1", r"\bword\b", "(?i)Hello", "(a)?(?(1)b|c)", "(?=a)a", "a{3,}", "a++b"],
)
def test_harder_regexes(pattern: str) -> None:
    assert re.fullmatch(pattern, sample_regex(pattern, Random(1)))


@pytest.mark.parametrize("pattern", ["a(", "[z-a]", "x(?=y)", r"[^\s\S]", "a{9999999999999}"])
def test_impossible_regexes_are_refused(pattern: str) -> None:
    with pytest.raises(ConstraintError):
        sample_regex(pattern, Random(1))


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Leaf(BaseModel):
    name: str = Field(min_length=2, max_length=6)
    code: str = Field(pattern=r"^[A-Z]{3}\d$")
    colour: Colour


class Tree(BaseModel):
    size: int = Field(ge=3, lt=9)
    share: float = Field(gt=0, le=1)
    kind: Literal["oak", "fir"]
    leaves: list[Leaf] = Field(min_length=1, max_length=3)
    child: Tree | None = None
    notes: dict[str, int] = {}
    pair: tuple[int, str] = (1, "a")
    flag: bool = False


class Unit(BaseModel):
    even: int = Field(multiple_of=4, ge=-8, le=8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_pydantic_models_accept_their_instances(seed: int) -> None:
    for model in (Leaf, Tree, Unit):
        text = sample_schema(json.dumps(model.model_json_schema()), Random(seed))
        model.model_validate_json(text)
        assert ": " not in text and ", " not in text


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": ["integer", "null"]},
        {"enum": [1, "a", None]},
        {"const": {"a": [1]}},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
        {"type": "array", "prefixItems": [{"type": "null"}], "items": False},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
        {"required": ["a"], "properties": {"a": {"type": "string", "format": "date-time"}}},
        {"allOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"type": "object"}]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}], "description": "either"},
        {"oneOf": [{"type": "integer", "maximum": -5}, {"type": "boolean"}]},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"type": "string", "minLength": 30},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "string", "format": "uuid"}}},
    ],
)
def test_schemas_accept_their_instances(schema: object) -> None:
    for seed in range(20):
        made = json.loads(sample_schema(json.dumps(schema), Random(seed)))
        jsonschema.validate(made, schema)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{", "not JSON"),
        ("3", "not a JSON object"),
        ('{"type": "strange"}', "unknown type"),
        ('{"$ref": "#/$defs/none"}', "has no"),
        ('{"$ref": "#"}', "needs itself"),
        ('{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}', "itself"),
        ('{"type": "array", "minItems": 3, "maxItems": 2}', "minItems"),
        ('{"type": "array", "items": {"const": 1}, "uniqueItems": true, "minItems": 2}', "few"),
        ('{"type": "integer", "minimum": 3, "maximum": 2}', "no number"),
        ('{"type": "string", "minLength": 3, "maxLength": 2}', "minLength"),
        ('{"enum": []}', "enum"),
    ],
)
def test_impossible_schemas_are_refused(schema: str, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        sample_schema(schema, Random(1))


def test_keywords_that_are_not_understood_are_named() -> None:
    with pytest.raises(CapabilityError, match="'not'"):
        sample_schema('{"not": {"type": "string"}}', Random(1))
