from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval import Document, RetrievalError
from ramify.retrieval.filters import compile_filter

LEAF = st.builds(
    lambda field, op, value: {"field": field, "op": op, "value": value},
    st.sampled_from(["n", "m"]),
    st.sampled_from(["==", "!=", "<", ">="]),
    st.integers(0, 3),
)
FILTER = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)


def naive(where: Any, meta: dict[str, int]) -> bool:
    if "and" in where:
        return all([naive(part, meta) for part in where["and"]])
    if "or" in where:
        return any([naive(part, meta) for part in where["or"]])
    if "not" in where:
        return not naive(where["not"], meta)
    have, op, value = meta.get(where["field"]), where["op"], where["value"]
    if op in ("==", "!="):
        return (have == value) == (op == "==")
    return have is not None and (have < value if op == "<" else have >= value)


@given(FILTER, st.dictionaries(st.sampled_from(["n", "m"]), st.integers(0, 3)))
def test_filters_mean_what_they_say(where: Any, meta: dict[str, int]) -> None:
    assert compile_filter(where)(Document("d", "t", meta=meta)) == naive(where, meta)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("id", "==", "d"), True),
        (("title", "contains", "our"), True),
        (("tags", "contains", "a"), True),
        (("missing", "contains", "a"), False),
        (("missing", "==", None), True),
        (("missing", "<", 3), False),
        (("n", "in", [1, 2]), True),
        (("n", "not in", [1, 2]), False),
        (("n", "<=", 1), True),
        (("n", ">", 1), False),
    ],
)
def test_fields_and_ops(condition: tuple[str, str, Any], expected: bool) -> None:
    document = Document("d", "t", "Harbour", {"tags": ["a", "b"], "n": 1})
    where = dict(zip(("field", "op", "value"), condition, strict=True))
    assert compile_filter(where)(document) is expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"field": "n", "op": "~", "value": 1}, r"where: unknown op '~'\. Known: ==, !=, <"),
        ({"and": []}, r"where\.and must be a list"),
        ({"not": {"or": [{"field": "n"}]}}, r"where\.not\.or\[0\] has the keys \['field'\]"),
        ({"n": 3}, "A filter is"),
        (3, "must be a mapping"),
        ({"field": "n", "op": "in", "value": 3}, "needs a list"),
    ],
)
def test_what_is_no_filter(where: Any, message: str) -> None:
    with pytest.raises(RetrievalError, match=message):
        compile_filter(where)


def test_values_that_do_not_compare_name_the_document() -> None:
    test = compile_filter({"field": "n", "op": "<", "value": 3})
    with pytest.raises(RetrievalError, match="document 'd' has n='x', which '<' cannot compare"):
        test(Document("d", "t", meta={"n": "x"}))
