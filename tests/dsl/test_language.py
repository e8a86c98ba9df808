"""Every line of the language's table, on the fake backend."""

import asyncio
from pathlib import Path
from typing import Any

import pydantic
import pytest

import ramify as rf
from ramify.errors import (
    CapabilityError,
    ConstraintError,
    DuplicateNameError,
    ProgramError,
    PromptTooLongError,
    RamifyError,
    UnknownVariableError,
    ValueUseError,
)


def fake(**options: Any) -> rf.FakeBackend:
    return rf.FakeBackend(**options)


def echo(prompt: str) -> str:
    """Answers with the last line that the user wrote."""
    return prompt.strip().splitlines()[-2].split(":", 1)[-1].strip() if "\n" in prompt else prompt


def test_messages_generate_and_variables() -> None:
    @rf.program
    def p(s: rf.State, q: str) -> Any:
        s += rf.system("Be short.")
        s += [rf.user("Q: ", q), rf.assistant("A: ", rf.gen("a", max_tokens=8))]
        assert "a" in s and "b" not in s
        return s["a"]

    backend = fake(reply="one two three")
    result = p.run("why?", backend=backend)
    assert result.text == result["a"] == "one two three"
    assert "Be short." in backend.calls[0].text and "A: " in backend.calls[0].text


def test_f_strings_stay_lazy_until_they_are_needed() -> None:
    seen = []

    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user("x")
        s += rf.assistant(rf.gen("a"))
        seen.append(len(backend.calls))
        s += rf.user(f"You said: {s['a']}!")
        s += rf.assistant(rf.gen("b"))
        return "<" + s["b"] + f"> after {s['a']}"

    backend = fake(reply={"You said": "second", "x": "first"})
    assert p.run(backend=backend).text == "<second> after first"
    assert seen == [0]
    assert "You said: first!" in backend.calls[1].text


def test_looking_at_a_value_runs_just_what_it_needs() -> None:
    counts = []

    @rf.program
    def p(s: rf.State) -> Any:
        with s.fork() as other:
            other += rf.user("other")
            other += rf.assistant(rf.gen("o"))
        s += rf.user("yes or no")
        s += rf.assistant(rf.gen("yn", choices=["yes", "no"]))
        if s["yn"] == "yes":
            s += rf.user("good")
        counts.append(len(backend.calls))
        s += rf.assistant(rf.gen("end"))
        return [s["end"], other["o"]]

    backend = fake(reply={"yes or no": "yes"})
    p.run(backend=backend)
    assert counts == [1]
    assert len(backend.calls) == 3
    assert any("good" in call.text for call in backend.calls)


def test_fork_extends_branches_in_three_ways_and_join_reads_them_in_order() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user("trunk")
        branches = s.fork(2)
        branches += rf.user("same")
        branches += [rf.user("left"), rf.user("right")]
        branches += lambda i: rf.user(f"number {i}")
        branches += rf.assistant(rf.gen("x"))
        s.join(branches)
        s += rf.user("and now?")
        s += rf.assistant(rf.gen("end"))
        return [*branches["x"], s["end"]]

    backend = fake(reply={"and now": "E", "number 0": "L", "number 1": "R"})
    assert p.run(backend=backend).value == ["L", "R", "E"]
    joined = backend.calls[-1].text
    places = [joined.index(t) for t in ("trunk", "left", "number 0", "L", "right", "R", "and now")]
    assert places == sorted(places)


def test_join_refuses_strangers() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        with s.fork() as a:
            a += "a"
            deeper = a.fork()
            deeper += "b"
        s.join(deeper)
        return s

    with pytest.raises(ProgramError, match="not a fork of this state"):
        p.run(backend=fake())


def test_first_takes_the_first_and_cancels_the_others() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        branches = s.fork(3)
        branches += lambda i: rf.user(f"race {i}")
        branches += rf.assistant(rf.gen("x"))
        won = rf.first(1, branches)
        s.join(won)
        s += rf.assistant(rf.gen("end"))
        return [won["x"], s["end"]]

    # two branches wait for calls that the fake holds back longer
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slow"

    @rf.program
    def race(s: rf.State) -> Any:
        branches = s.fork(3)
        for i, branch in enumerate(branches):
            branch["t"] = rf.call(slow, 0.01 if i == 1 else 30.0)
            branch += rf.user(branch["t"], str(i))
            branch += rf.assistant(rf.gen("x"))
        won = rf.first(1, branches)
        s.join(won)
        s += rf.assistant(rf.gen("end"))
        return [won["x"], s["end"]]

    result = race.run(backend=fake(reply={"slow1": "one"}))
    assert result.value[0] == ["one"]
    statuses = [account.status for account in result.accounts.values()]
    assert statuses.count("cancelled") == 4  # two calls and the two generations that needed them
    assert len(p.run(backend=fake()).value[0]) == 1


def test_each_over_a_value_and_its_fields() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user("list")
        s += rf.assistant(rf.gen("outline", schema=rf.Outline, max_tokens=60))

        def body(branch: rf.State, point: str) -> None:
            branch += rf.user(f"write {point}")
            branch += rf.assistant(rf.gen("text"))

        points = s.each(s["outline"].points, body, limit=2)
        s.join(points, mode="kv")
        s += rf.user("close")
        s += rf.assistant(rf.gen("end"))
        return [points["text"], s["end"], s["outline"].points[0]]

    backend = fake(
        reply={"close": "C", "write b": "B", "write a": "A", "list": '{"points":["a","b","c"]}'}
    )
    assert p.run(backend=backend).value == [["A", "B"], "C", "a"]


def test_each_over_a_list_is_static_and_bodies_that_look_overlap() -> None:
    @rf.program
    def p(s: rf.State, items: list[str]) -> Any:
        def body(branch: rf.State, item: str) -> None:
            branch += rf.user(item)
            branch += rf.assistant(rf.gen("a"))
            if str(branch["a"]):
                branch += rf.user("more")
            branch += rf.assistant(rf.gen("b"))

        return s.each(items, body)["b"]

    backend = fake(latency=0.0)
    assert len(p.run(["x", "y", "z"], backend=backend).value) == 3
    order = [call.text for call in backend.calls]
    assert all("more" not in text for text in order[:3])  # all first halves, then the second ones


def test_sub_programs_have_their_own_prompt() -> None:
    @rf.program
    def inner(s: rf.State, topic: Any) -> Any:
        s += rf.user(f"inner about {topic}")
        s += rf.assistant(rf.gen("x"))
        return s["x"]

    @rf.program
    def outer(s: rf.State) -> Any:
        s += rf.user("outer")
        s += rf.assistant(rf.gen("t"))
        found = inner(s["t"])
        s += rf.user(f"so: {found}")
        s += rf.assistant(rf.gen("end"))
        return s["end"]

    backend = fake(reply={"so: I": "done", "inner about T": "I", "outer": "T"})
    assert outer.run(backend=backend).text == "done"
    assert "outer" not in backend.calls[1].text


def test_typed_values() -> None:
    class City(pydantic.BaseModel):
        name: str
        people: int

    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("city", schema=City, max_tokens=60)
        s += rf.gen("n", schema=int, max_tokens=9)
        with pytest.raises(ValueUseError, match="Its schema has: name, people"):
            _ = s["city"].nope
        total = s["city"].people + 0 if False else int(s["city"].people) + int(s["n"])
        return {"city": s["city"], "name": s["city"].name, "total": total}

    replies = iter(['{"name":"Aldmoor","people":12}', "7"])
    value = p.run(backend=fake(reply=lambda prompt: next(replies))).value
    assert value == {"city": City(name="Aldmoor", people=12), "name": "Aldmoor", "total": 19}


def test_select_score_n_and_seeds() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user("q")
        s += rf.assistant(rf.select("best", ["a", "bb", "ccc"]))
        s += rf.score("probs", [" x", " y"])
        s += rf.gen("many", n=3, temperature=1.0, seed=5, max_tokens=4)
        s += rf.gen("one", max_tokens=4)
        return [s["best"], s["probs"], s["many"], s["one"]]

    best, probs, many, one = p.run(backend=fake()).value
    assert best in ("a", "bb", "ccc") and len(probs) == 2 and probs[0] < 0
    assert len(set(many)) == 3 and isinstance(one, str)
    assert p.run(backend=fake()).value == [best, probs, many, one]


def test_text_and_messages_are_values() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user("hi")
        s += rf.assistant(rf.gen("a"))
        return [s.text(), s.messages()]

    text, messages = p.run(backend=fake(reply="yo")).value
    assert "hi" in text and "yo" in text
    assert messages == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yo"},
    ]


def test_call_takes_values_in_any_shape_and_runs_once() -> None:
    calls = []

    def tool(items: list[str], key: str = "") -> int:
        calls.append((items, key))
        return len(items)

    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a")
        n = rf.call(tool, [s["a"], "x"], key=f"<{s['a']}>")
        rf.call(calls.append, "effect")
        s["n"] = n
        return [n, s["n"]]

    assert p.run(backend=fake(reply="A")).value == [2, 2]
    assert sorted(map(str, calls)) == ["(['A', 'x'], '<A>')", "effect"]


def test_async_programs_await_values() -> None:
    @rf.program
    async def p(s: rf.State) -> Any:
        s += rf.gen("a", max_tokens=3)
        with pytest.raises(ValueUseError, match="Write `await value` first"):
            str(s["a"])
        text = await s["a"]
        assert str(s["a"]) == text

        async def body(branch: rf.State, item: str) -> None:
            branch += item
            branch += rf.gen("b", max_tokens=2)
            await branch["b"]

        found = s.each(["x", "y"], body)
        return [text, found["b"]]

    first = p.run(backend=fake()).value
    assert len(first[1]) == 2
    assert asyncio.run(p.arun(backend=fake())).value == first


def test_run_works_inside_a_running_loop() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a", max_tokens=3)
        return s["a"]

    async def main() -> tuple[str, str]:
        return p.run(backend=fake()).text, (await p.arun(backend=fake())).text

    a, b = asyncio.run(main())
    assert a == b


def test_deep_programs_need_no_recursion() -> None:
    @rf.program
    def nested(s: rf.State, depth: int) -> Any:
        if depth:
            return nested(depth - 1)
        s += rf.gen("leaf", max_tokens=1)
        return s["leaf"]

    @rf.program
    def wide(s: rf.State) -> Any:
        for i in range(5000):
            s += f"{i} "
        branches = s.fork(1000)
        branches += rf.gen("x", max_tokens=1)
        return branches["x"]

    @rf.program
    def deep(s: rf.State) -> Any:
        state = s
        for i in range(50):
            state += f"level {i}"
            state += rf.gen("x", max_tokens=1)
            state = state.fork()
        return state["x"]

    assert nested.run(50, backend=fake()).text
    assert len(wide.run(backend=fake(context=10**6)).value) == 1000
    assert deep.run(backend=fake()).text


class TestBadInput:
    """One clear error each: program, node, way out."""

    def raises(self, kind: type[Exception], match: str, body: Any, **options: Any) -> None:
        program = rf.Program(body)
        with pytest.raises(kind, match=match) as caught:
            program.run(backend=options.pop("backend", fake()), **options)
        assert "program 'bad'" in str(caught.value)

    def test_unknown_variable(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a")
            return s["b"]

        self.raises(UnknownVariableError, "no variable 'b'. Known here: a", bad)

    def test_same_name_twice(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a")
            s += rf.gen("a")
            return s

        self.raises(DuplicateNameError, "node 'a'.*twice", bad)

    def test_value_as_text(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a")
            return s["a"].upper()

        self.raises(ValueUseError, r"'a' has no \.upper.*str\(value\)", bad)

    def test_value_changed_as_text(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a")
            s += f"{s['a']}".upper()
            return s

        self.raises(ValueUseError, "(?i)'a' was changed as if it were plain text", bad)

    def test_value_given_to_code_that_wants_text(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a")
            return ", ".join([s["a"]])

        self.raises(ValueUseError, r"plain text or data.*Value found.*rf\.lines", bad)

        def opened(s: rf.State) -> Any:
            s += rf.gen("a")
            return Path(f"/nowhere/{s['a']}").read_text()

        with pytest.raises(OSError) as caught:
            rf.Program(opened).run(backend=fake())
        (note,) = caught.value.__notes__
        assert "'a'" in note and "str(value)" in note

    def test_value_of_another_run(self) -> None:
        kept: list[str] = []

        def bad(s: rf.State) -> Any:
            if kept:
                s += kept[0]
            s += rf.gen("a")
            kept.append(f"{s['a']}")
            return s

        rf.Program(bad).run(backend=fake())
        self.raises(ValueUseError, "'a' belongs to another run", bad)

    def test_returns_nothing(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a")

        self.raises(ProgramError, r'returned nothing.*return s\["a"\]', bad)

    def test_prompt_too_long(self) -> None:
        def bad(s: rf.State) -> Any:
            s += "word " * 5000
            s += rf.gen("a")
            return s["a"]

        self.raises(PromptTooLongError, "node 'a'.*context of 512", bad, backend=fake(context=512))

    def test_empty_stop_and_bad_regex_and_schema(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a", stop="")
            return s

        self.raises(ProgramError, "node 'a'.*stop", bad)

        def bad(s: rf.State) -> Any:  # type: ignore[no-redef]
            s += rf.gen("a", regex="([")
            return s

        self.raises(ConstraintError, "node 'a'.*regex.*invalid", bad)

        def bad(s: rf.State) -> Any:  # type: ignore[no-redef]
            s += rf.gen("a", schema="{not json")
            return s

        self.raises(ConstraintError, "node 'a'.*not JSON", bad)

    def test_constraint_that_the_backend_cannot_enforce(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a", grammar='start: "x"')
            return s

        self.raises(CapabilityError, "node 'a'.*cannot enforce a grammar", bad)

    def test_answer_cut_before_its_schema_is_whole(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a", schema=rf.Outline, max_tokens=2)
            return s["a"]

        self.raises(ConstraintError, "cut at max_tokens=2", bad)

    def test_unknown_model(self) -> None:
        def bad(s: rf.State) -> Any:
            s += rf.gen("a", model="big")
            return s["a"]

        self.raises(ProgramError, "model 'big' is not among", bad)

    def test_user_error_in_a_call_names_the_node(self) -> None:
        def boom(x: str) -> str:
            raise LookupError("gone")

        def bad(s: rf.State) -> Any:
            return rf.call(boom, "x")

        self.raises(RamifyError, "node 'boom'.*LookupError: gone", bad)

    def test_outside_of_a_program(self) -> None:
        with pytest.raises(ProgramError, match="outside of a running program"):
            rf.call(len, "x")
        with pytest.raises(ProgramError, match=r"tip\.run"):

            @rf.program
            def tip(s: rf.State) -> Any:
                return s

            tip()

    def test_the_backend_stays_usable(self) -> None:
        backend = fake()

        def bad(s: rf.State) -> Any:
            s += rf.gen("a", schema=rf.Outline, max_tokens=2)
            return s["a"]

        self.raises(ConstraintError, "cut", bad, backend=backend)

        @rf.program
        def good(s: rf.State) -> Any:
            s += rf.gen("a")
            return s["a"]

        assert good.run(backend=backend).text


def test_a_reply_decides_a_select() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.user("pick")
        s += rf.assistant(rf.select("best", ["red", "green", "blue"]))
        assert s.last == s["best"]
        return s["best"]

    for color in ("red", "green", "blue"):
        assert p.run(backend=fake(reply=color)).text == color


def test_resolve_keeps_the_shape_of_lists() -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("a", max_tokens=4)
        branches = s.fork(2)
        branches += rf.gen("b", max_tokens=4)
        one, two = rf.resolve(s["a"], branches["b"])
        assert isinstance(one, str) and len(two) == 2 and len(backend.calls) == 2
        with pytest.raises(ProgramError, match="is not a value"):
            rf.resolve("x")
        return [one, *two]

    backend = fake()
    assert len(p.run(backend=backend).value) == 3


def test_misuses_are_named() -> None:
    @rf.program
    async def later(s: rf.State) -> Any:
        return s.text()

    @rf.program
    def p(s: rf.State) -> Any:
        s += rf.gen("n", schema=int, max_tokens=4)
        for use, match in (
            (lambda: s["n"] + 1, "is no text"),
            (lambda: {s["n"]: 1}, "cannot be a key"),
            (lambda: rf.lines(rf.gen("x")), "'x' is not a value yet"),
            (lambda: s.__setitem__("g", rf.gen("x")), "'x' is not a value yet"),
            (lambda: f"{s.fork(2)}", "no text of their own"),
            (later, "async program 'later' was called in a sync one"),
        ):
            with pytest.raises(RamifyError, match=match):
                use()
        return f"state: {s}"

    assert p.run(backend=fake(reply="7")).text == "state: 7"
    for function, match in ((lambda self: 1, "method"), (lambda s, backend: 1, "used by run")):
        with pytest.raises(ProgramError, match=match):
            rf.program(function)

    def generator(s: rf.State) -> Any:
        yield s

    with pytest.raises(ProgramError, match="generator"):
        rf.program()(generator)
