import pytest

from ramify.errors import ConstraintError, ProgramError
from ramify.ir import Constraint, Sampling


def test_options_are_checked_and_named() -> None:
    with pytest.raises(ProgramError, match="Did you mean 'max_tokens'"):
        Sampling.of(max_tokns=3)
    with pytest.raises(ProgramError, match="Known: max_tokens"):
        Sampling.of(zzz=3)
    for bad in ({"max_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"stop": ["a", ""]}):
        with pytest.raises(ProgramError, match=next(iter(bad))):
            Sampling.of(**bad)


def test_stop_may_be_one_string_or_a_list() -> None:
    assert Sampling.of(stop="\n").stop == ("\n",)
    assert Sampling.of(stop=["a", "b"]).stop == ("a", "b")
    assert Sampling.of(stop=None).stop == ()


def test_deterministic() -> None:
    assert Sampling().deterministic
    assert Sampling(temperature=1, seed=3).deterministic
    assert not Sampling(temperature=1).deterministic


def test_constraints_that_mean_nothing_are_refused() -> None:
    for bad in (("regex", ""), ("choices", "", ()), ("choices", "", ("a", "a"))):
        with pytest.raises(ConstraintError):
            Constraint(*bad)
