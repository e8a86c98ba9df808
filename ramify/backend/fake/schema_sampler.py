"""Makes small instances of a JSON schema."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

from ramify.backend.fake.regex_sampler import sample_regex
from ramify.errors import CapabilityError, ConstraintError

_UNSUPPORTED = (
    "not",
    "if",
    "dependentSchemas",
    "dependentRequired",
    "patternProperties",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
)
_CALM = 3  # below this depth optional parts may appear
_DEEPEST = 64
_TRIES = 64
_FORMATS: dict[str, Callable[[Random], str]] = {
    "date": lambda rng: f"20{rng.randint(10, 29)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
    "time": lambda rng: f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:00Z",
    "date-time": lambda rng: _FORMATS["date"](rng) + "T" + _FORMATS["time"](rng),
    "duration": lambda rng: f"P{rng.randint(1, 30)}D",
    "email": lambda rng: f"name{rng.randint(1, 99)}@example.org",
    "uri": lambda rng: f"https://example.org/{rng.randint(1, 99)}",
    "ipv4": lambda rng: f"10.0.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
    "uuid": lambda rng: "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}".format(
        *(rng.getrandbits(bits) for bits in (32, 16, 12, 12, 48))
    ),
}


def sample_schema(text: str, rng: Random) -> str:
    """Compact JSON that the schema accepts.

    Raises ConstraintError for an invalid schema or one without a finite instance, and
    CapabilityError for keywords that are not understood.
    """
    return json.dumps(_Maker(_load(text), rng).make(), separators=(",", ":"), ensure_ascii=False)


@lru_cache(256)
def _load(text: str) -> Any:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise ConstraintError(f"the schema is not JSON: {error}.") from error
    if not isinstance(schema, (dict, bool)):
        raise ConstraintError("the schema is not a JSON object.")
    return schema


class _Maker:
    """One draw from one schema."""

    def __init__(self, root: Any, rng: Random) -> None:
        self._root = root
        self._rng = rng

    def make(self) -> Any:
        if self._height(self._root, frozenset()) == math.inf:
            raise ConstraintError("the schema has no finite instance: it always needs itself.")
        return self._value(self._root, 0)

    def _value(self, schema: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ConstraintError(f"the schema nests deeper than {_DEEPEST}.")
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            if not schema["enum"]:
                raise ConstraintError("an enum of the schema is empty.")
            return self._rng.choice(schema["enum"])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
            return self._value(_merged(rest, self._resolve(self._pick(options, depth))), depth + 1)
        kind = schema.get("type", _guess_type(schema))
        if isinstance(kind, list):
            kind = self._rng.choice(kind) if depth < _CALM else min(kind, key=_simple_first)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind in ("integer", "number"):
            return _number(schema, kind == "integer", self._rng)
        if kind == "boolean":
            return self._rng.random() < 0.5
        if kind == "null":
            return None
        raise ConstraintError(f"the schema has an unknown type {kind!r}.")

    def _resolve(self, given: Any) -> dict[str, Any]:
        """The schema without `$ref` and `allOf`."""
        if given is True:
            return {}
        if not isinstance(given, dict):
            raise ConstraintError(f"{given!r} stands where the schema needs a schema.")
        schema: dict[str, Any] = given
        bad = next((key for key in _UNSUPPORTED if key in schema), None)
        if bad is not None:
            raise CapabilityError(f"the fake backend does not understand {bad!r} in a schema.")
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(rest, self._target(schema["$ref"]))
            elif "allOf" in schema:
                parts = schema["allOf"]
                schema = {key: value for key, value in schema.items() if key != "allOf"}
                for part in parts:
                    schema = _merged(schema, self._resolve(part))
            else:
                return schema
        raise ConstraintError("a $ref of the schema leads back to itself.")

    def _target(self, ref: str) -> dict[str, Any]:
        found = self._root
        try:
            if not ref.startswith("#"):
                raise KeyError(ref)
            for step in ref[1:].split("/")[1:]:
                found = found[step.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError) as error:
            raise ConstraintError(f"the schema has no {ref!r}.") from error
        return found if isinstance(found, dict) else {}

    def _pick(self, options: list[Any], depth: int) -> Any:
        heights = [self._height(option, frozenset()) for option in options]
        least = min(heights)
        fit = [
            option
            for option, height in zip(options, heights, strict=True)
            if height == least or (depth < _CALM and height < math.inf)
        ]
        return self._rng.choice(fit)

    def _height(self, schema: Any, above: frozenset[str]) -> float:
        """How deep the flattest instance is; infinite where a schema always needs itself."""
        if not isinstance(schema, dict):
            return 0
        heights = [0.0]
        ref = schema.get("$ref")
        if ref is not None:
            if ref in above:
                return math.inf
            heights.append(self._height(self._target(ref), above | {ref}))
        heights += [self._height(part, above) for part in schema.get("allOf", ())]
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            heights.append(min(self._height(option, above) for option in options))
        fields = schema.get("properties", {})
        needed = [fields[name] for name in schema.get("required", ()) if name in fields]
        if schema.get("minItems", 0) > 0:
            needed += [*schema.get("prefixItems", ()), schema.get("items", True)]
        heights += [1 + self._height(part, above) for part in needed]
        return max(heights)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = schema.get("properties", {})
        required = schema.get("required", [])
        made = {
            name: self._value(part, depth + 1)
            for name, part in fields.items()
            if name in required
            or (depth < _CALM and self._rng.random() < 0.5 and self._finite(part))
        }
        extra = schema.get("additionalProperties", True)
        for name in required:
            if name not in made:
                made[name] = self._value(extra, depth + 1)
        least = schema.get("minProperties", 0)
        if not fields and extra not in (True, False) and depth < _CALM:
            least = max(least, self._rng.randint(0, min(2, schema.get("maxProperties", 2))))
        number = 0
        while len(made) < least:
            name = next((n for n in fields if n not in made), None)
            if name is None and extra is False:
                raise ConstraintError("minProperties is over the number of properties.")
            part = extra if name is None else fields[name]
            made[name or f"key{number}"] = self._value(part, depth + 1)
            number += 1
        return made

    def _finite(self, part: Any) -> bool:
        return self._height(part, frozenset()) < math.inf

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        item = schema.get("items", True)
        low = schema.get("minItems", 0)
        high = schema.get("maxItems", max(low, len(first)) + 2)
        if low > high:
            raise ConstraintError("minItems is over maxItems.")
        many = item is not False and depth < _CALM and self._finite(item)
        size = self._rng.randint(low, min(high, low + 2)) if many else low
        size = min(high, max(size, len(first)))
        made: list[Any] = []
        for number in range(size):
            part = first[number] if number < len(first) else item
            for _ in range(_TRIES):
                value = self._value(part, depth + 1)
                if not (schema.get("uniqueItems") and value in made):
                    made.append(value)
                    break
        if len(made) < low:
            raise ConstraintError("an array of the schema has too few different items.")
        return made

    def _string(self, schema: dict[str, Any]) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if low > high:
            raise ConstraintError("minLength is over maxLength.")
        if "pattern" in schema:
            for _ in range(_TRIES):
                text = sample_regex(f"(?:{schema['pattern']})", self._rng)
                if low <= len(text) <= high:
                    return text
            raise ConstraintError(f"no text was found for the pattern {schema['pattern']!r}.")
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]](self._rng)
        size = self._rng.randint(low, int(min(high, max(low, 3) + 5)))
        return "".join(self._rng.choice("abcdefghijklmnoprstuvwy") for _ in range(size))


def _number(schema: dict[str, Any], whole: bool, rng: Random) -> int | float:
    """A number within the bounds; raises ConstraintError where there is none."""
    step = schema.get("multipleOf", 1 if whole else None)
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    if low == -math.inf:
        low = min(0, high - 100) if high < math.inf else 0
    if high == math.inf:
        high = low + 100
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")

    def fits(value: float) -> bool:
        return (
            low <= value <= high
            and (above is None or value > above)
            and (below is None or value < below)
        )

    for _ in range(_TRIES):
        if step is None:
            value: float = round(rng.uniform(low, high), 2)
            value = value if fits(value) else rng.uniform(low, high)
        else:
            least = math.ceil(low / step)
            value = step * rng.randint(least, max(least, int(high // step)))
        if fits(value):
            return value
    raise ConstraintError(f"the schema leaves no number between {low} and {high}.")


def _merged(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Both schemas at once; properties and required names add up."""
    both = {**a, **b}
    if "properties" in a and "properties" in b:
        both["properties"] = {**a["properties"], **b["properties"]}
    if "required" in a and "required" in b:
        both["required"] = list(dict.fromkeys([*a["required"], *b["required"]]))
    return both


def _guess_type(schema: dict[str, Any]) -> str:
    for kind, keys in (
        ("object", ("properties", "required", "additionalProperties", "minProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems")),
        ("string", ("pattern", "minLength", "maxLength", "format")),
        ("number", ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum")),
    ):
        if any(key in schema for key in keys):
            return kind
    return "string"


def _simple_first(kind: str) -> int:
    order = ("null", "boolean", "integer", "number", "string", "array", "object")
    return order.index(kind) if kind in order else len(order)
