"""What cannot be meant is said at once, in words of ours: what is wrong, and the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import ramify as rf
from ramify.errors import BackendError, ConstraintError, ProgramError, RamifyError, ValueUseError


def run(body: Callable[[Any], Any], **options: Any) -> rf.Result:
    @rf.program
    def p(s: rf.State) -> Any:
        return body(s)

    return p.run(**{"backend": "fake:", **options})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_tokens", "8"),
        ("max_tokens", 8.5),
        ("max_tokens", None),
        ("max_tokens", True),
        ("max_tokens", 0),
        ("temperature", "0"),
        ("temperature", float("nan")),
        ("top_p", None),
        ("top_k", 1.5),
        ("seed", "abc"),
        ("stop", 5),
        ("stop", ["a", 5]),
        ("stop", [""]),
        ("stop_ids", "a"),
        ("stop_ids", ["a"]),
        ("frequency_penalty", "x"),
        ("ignore_end", "no"),
        ("logprobs", -1),
        ("n", "3"),
        ("n", 0),
    ],
)
def test_an_option_of_the_wrong_type_or_size_is_named(option: str, value: Any) -> None:
    with pytest.raises(ProgramError, match=rf"node 'a': {option}=.* is not allowed. It must be"):
        run(lambda s: s.append(rf.gen("a", **{option: value})))


def test_stop_ids_may_be_a_list_and_numbers_those_of_numpy() -> None:
    import numpy as np

    found = run(
        lambda s: s.append(
            rf.gen("a", stop_ids=[3], max_tokens=np.int64(4), temperature=np.float32(0))
        )
    )
    assert found["a"] == run(lambda s: s.append(rf.gen("a", max_tokens=4)))["a"]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: rf.gen(64), "the name 64 is not a string"),
        (lambda: rf.gen("a", choices="ab"), "choices='ab' is not a list"),
        (lambda: rf.gen("a", choices=3), "choices=3 is not a list"),
        (lambda: rf.gen("a", regex=5), "regex=5 is not a string"),
        (lambda: rf.gen("a", grammar=5), "grammar=5 is not a string"),
        (lambda: rf.select("a", 3), "select needs a list of non-empty strings"),
        (lambda: rf.score("a", [1, 2]), "score needs a list of non-empty strings"),
        (lambda: rf.Policy(retry=3), "retry=3 is not allowed. Write"),  # type: ignore[arg-type]
        (lambda: rf.Policy(timeouts=30), "timeouts=30 is not allowed. Write"),  # type: ignore[arg-type]
        (lambda: rf.Timeouts(run_s=-1), "run_s=-1 is not allowed"),
        (lambda: rf.Timeouts(node_s="1"), "node_s='1' is not allowed"),  # type: ignore[arg-type]
        (lambda: rf.Retry(attempts="2"), "attempts='2' is not allowed"),  # type: ignore[arg-type]
        (lambda: rf.set_default_backend(3), "3 is not a backend"),  # type: ignore[arg-type]
    ],
)
def test_what_is_made_outside_of_a_program(made: Callable[[], Any], says: str) -> None:
    with pytest.raises((ProgramError, ConstraintError, BackendError), match=says):
        made()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (lambda s: s.fork("2"), r"fork\('2'\) makes no branch"),
        (lambda s: s.fork(2.0), r"fork\(2.0\) makes no branch"),
        (lambda s: s.join(3), "3 cannot be joined"),
        (lambda s: rf.first("1", s.fork(2)), "first '1' of 2 branches. k must be 1 to 2"),
        (lambda s: rf.first(1, []), "first of no branches"),
        (lambda s: rf.retrieve(rf.Index.of(["a"], dense=False), "a", k="3"), "k='3'"),
        (lambda s: rf.compress("a b", tokens="5"), "tokens='5' is not allowed"),
    ],
)
def test_what_is_asked_of_a_state(body: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(ProgramError, match=says):
        run(body)


@pytest.mark.parametrize("backend", [3, rf.FakeBackend, {"small": 3}])
def test_what_is_no_backend(backend: Any) -> None:
    with pytest.raises(BackendError, match=r"is not a backend\. Give"):
        run(lambda s: "x", backend=backend)


@pytest.mark.parametrize("rows", ["abc", {"a": 1}, None, 3])
def test_what_are_no_rows(rows: Any) -> None:
    @rf.program
    def p(s: rf.State, a: int = 0) -> Any:
        return f"{a}"

    with pytest.raises(ProgramError, match=r"rows are a .*, not a list of mappings"):
        p.run_batch(rows, backend="fake:")
    with pytest.raises(ProgramError, match=r"rows are a .*, not a list of mappings"):
        asyncio.run(p.arun_batch(rows, backend="fake:"))
    with pytest.raises(ProgramError, match="policy=3 is not a policy"):
        p.run_batch([{}], backend="fake:", policy=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "used"),
    [
        ("the list of select", lambda text: rf.select("x", [text, "no"])),
        ("the list of score", lambda text: rf.score("x", [text, "no"])),
        ("choices", lambda text: rf.gen("x", choices=[text, "no"])),
        ("the constraint", lambda text: rf.gen("x", regex=f"{text}!")),
        ("the constraint", lambda text: rf.gen("x", grammar=text)),
        ("the constraint", lambda text: rf.gen("x", schema=text)),
        ("stop", lambda text: rf.gen("x", stop=text)),
        ("the name", lambda text: rf.gen(text)),
        ("model", lambda text: rf.gen("x", model=text)),
    ],
)
def test_a_value_in_an_option_is_an_error_with_its_name(
    what: str, used: Callable[[str], Any]
) -> None:
    """Before, its marker went to the model as if it were text."""

    def body(s: Any) -> Any:
        s += rf.gen("mood")
        s += used(f"{s['mood']}")
        return s

    with pytest.raises(ValueUseError, match=rf"{what} holds the value 'mood'.*str\(value\)"):
        run(body)
    assert issubclass(ValueUseError, RamifyError)
