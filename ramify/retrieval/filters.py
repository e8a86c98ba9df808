"""Filters: which documents a search may look at.

A condition is `{"field": f, "op": o, "value": v}`; conditions are joined by `{"and": [...]}`,
`{"or": [...]}` and `{"not": ...}`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from ramify.retrieval.contract import RetrievalError
from ramify.retrieval.document import Document

Test = Callable[[Document], bool]


def _order(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    # a document without the field has no place in an order
    return lambda have, value: have is not None and compare(have, value)


_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": _order(operator.lt),
    "<=": _order(operator.le),
    ">": _order(operator.gt),
    ">=": _order(operator.ge),
    "in": lambda have, value: have in value,
    "not in": lambda have, value: have not in value,
    "contains": lambda have, value: have is not None and value in have,
}


def compile_filter(where: Mapping[str, Any]) -> Test:
    """Turn a filter into a test of documents.

    A field is "id", "title" or a key of the document's meta; a missing one reads as None, which
    is equal to None only, in no order, and contains nothing. Raises RetrievalError for a filter
    that is not well formed, and the test raises it where a value cannot be compared.
    """
    return _compile(where, "where")


def _compile(where: object, path: str) -> Test:
    if not isinstance(where, Mapping):
        raise RetrievalError(f"{path} must be a mapping, got {where!r}.", hint=_HINT)
    keys = set(where)
    if keys in ({"and"}, {"or"}):
        (key,) = keys
        parts = where[key]
        if not isinstance(parts, (list, tuple)) or not parts:
            raise RetrievalError(f"{path}.{key} must be a list of conditions.", hint=_HINT)
        tests = [_compile(part, f"{path}.{key}[{at}]") for at, part in enumerate(parts)]
        join = all if key == "and" else any
        return lambda document: join(test(document) for test in tests)
    if keys == {"not"}:
        inner = _compile(where["not"], f"{path}.not")
        return lambda document: not inner(document)
    if keys != {"field", "op", "value"}:
        raise RetrievalError(f"{path} has the keys {sorted(map(str, keys))}.", hint=_HINT)
    return _condition(where["field"], where["op"], where["value"], path)


def _condition(field: str, op: str, value: Any, path: str) -> Test:
    compare = _OPS.get(op)
    if compare is None:
        raise RetrievalError(f"{path}: unknown op {op!r}.", hint=f"Known: {', '.join(_OPS)}.")
    if op in ("in", "not in") and not isinstance(value, (list, tuple, set, frozenset)):
        raise RetrievalError(f"{path}: {op!r} needs a list of values, got {value!r}.")

    def test(document: Document) -> bool:
        have = _read(document, field)
        try:
            return bool(compare(have, value))
        except TypeError as error:
            raise RetrievalError(
                f"{path}: document {document.id!r} has {field}={have!r}, which {op!r} cannot "
                f"compare with {value!r}."
            ) from error

    return test


def _read(document: Document, field: str) -> Any:
    if field == "id":
        return document.id
    return document.title if field == "title" else document.meta.get(field)


_HINT = (
    'A filter is {"field": .., "op": .., "value": ..}, {"and": [..]}, {"or": [..]} or {"not": ..}.'
)
