"""Random programs: a strategy draws a script, `build` makes a program of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

import ramify as rf

Script = list[tuple[Any, ...]]

_words = st.sampled_from(["once", " upon a time", " the cat sat", "Lily", " and then", " big"])
_sampling = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"temperature": st.just(0.8), "seed": st.integers(0, 3)}),
    st.fixed_dictionaries({"stop": st.sampled_from([["e"], [" "], ["th", "."]])}),
)
_joins = st.sampled_from([None, ("text", 0), ("kv", 0), ("kv", 2)])
_gen = st.tuples(st.just("gen"), st.integers(1, 5), _sampling)
_flat = st.one_of(
    st.tuples(st.just("text"), _words),
    st.tuples(st.just("user"), _words),
    _gen,
    _gen,
    st.tuples(st.just("quote")),
    st.tuples(st.just("select")),
    st.tuples(st.just("look")),
    st.tuples(st.just("samples"), st.integers(2, 3)),
)
_failing = st.one_of(_flat, _flat, _flat, st.tuples(st.just("fail")))


def scripts(*, depth: int = 2, failing: bool = False) -> st.SearchStrategy[Script]:
    """Scripts with forks, joins and fan-outs up to `depth` deep."""
    flat = _failing if failing else _flat
    if depth == 0:
        return st.lists(flat, min_size=1, max_size=4)
    inner = scripts(depth=depth - 1, failing=failing)
    branchy = st.one_of(
        st.tuples(st.just("fork"), st.lists(inner, min_size=1, max_size=3), _joins),
        st.tuples(st.just("each"), st.integers(0, 3), st.booleans(), inner),
        st.tuples(st.just("sub"), inner),
    )
    return st.lists(st.one_of(flat, flat, flat, branchy), min_size=1, max_size=6)


class Failure(Exception):
    """What a failing branch raises."""


def _fail(text: str) -> str:
    raise Failure(f"no luck with {text!r}")


async def _items(n: int) -> list[str]:
    await asyncio.sleep(0)
    return [f"item {i}" for i in range(n)]


@dataclass
class Build:
    """Interprets a script on a state; collects every value that it makes."""

    values: list[Any]

    def on(self, s: rf.State, script: Script) -> None:
        last: Any = "nothing"
        for step in script:
            last = self._step(s, step, last)

    def _step(self, s: rf.State, step: tuple[Any, ...], last: Any) -> Any:
        kind = step[0]
        if kind == "text":
            s += step[1]
        elif kind == "user":
            s += rf.user(step[1])
        elif kind == "quote":
            s += rf.user(f"You said <{last}>")
        elif kind == "look":
            s += rf.user("long" if len(str(last)) > 4 else "short")
        elif kind == "fork":
            branches = s.fork(len(step[1]))
            for branch, inner in zip(branches, step[1], strict=True):
                self.on(branch, inner)
            if step[2]:
                mode, repair = step[2]
                s.join(branches, mode, repair=repair)
        elif kind == "each":
            self._each(s, *step[1:])
        elif kind == "sub":
            last = rf.Program(self._sub(step[1]))()
        elif kind == "fail":
            last = rf.call(_fail, last)
            s += last
        else:
            last = self._generate(s, step)
        return last

    def _generate(self, s: rf.State, step: tuple[Any, ...]) -> Any:
        name = f"v{len(self.values)}"
        if step[0] == "gen":
            s += rf.assistant(rf.gen(name, max_tokens=step[1], **step[2]))
        elif step[0] == "samples":
            s += rf.gen(name, n=step[1], temperature=1.0, seed=1, max_tokens=3)
        else:
            s += rf.select(name, ["yes", "no", "maybe so"])
        self.values.append(s[name])
        return s[name]

    def _each(self, s: rf.State, n: int, dynamic: bool, inner: Script) -> None:
        def body(branch: rf.State, item: str) -> None:
            branch += rf.user(item)
            own = Build([])
            own.on(branch, inner)
            branch["all"] = rf.lines(*own.values) if own.values else "none"

        branches = s.each(rf.call(_items, n) if dynamic else [f"item {i}" for i in range(n)], body)
        if n or dynamic:
            s.join(branches)
            self.values.append(rf.lines(branches["all"]))

    def _sub(self, inner: Script) -> Any:
        def sub(state: rf.State) -> Any:
            own = Build([])
            state += "A story:"  # models without a start token have nothing to say to nothing
            own.on(state, inner)
            return rf.lines(*own.values) if own.values else "none"

        return sub


def build(script: Script) -> rf.Program:
    """A program that follows the script and returns every value that it made."""

    def scripted(s: rf.State) -> Any:
        made = Build([])
        s += "A story:"
        made.on(s, script)
        return [*made.values, s.text()]

    return rf.Program(scripted)
