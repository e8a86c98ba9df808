"""The full stack on the fake backend equals its naive twin."""

from hypothesis import given, settings
from hypothesis import strategies as st

import ramify as rf
from ramify.runtime import run_sync
from ramify.runtime.execute import finish
from ramify.runtime.in_order import in_order
from ramify.runtime.result import Result
from tests.exactness.programs import Script, build, scripts


def naive(program: rf.Program, backend: rf.FakeBackend, policy: rf.Policy) -> Result:
    """One node after the other, no passes."""

    async def run() -> Result:
        task = program.task((), {})
        return await finish(in_order(task, {"": backend}, policy), task, keep_plan=False)

    return run_sync(run())


@settings(max_examples=150, deadline=None)
@given(scripts())
def test_programs_give_the_same_as_in_order_without_passes(script: Script) -> None:
    program = build(script)
    expected = naive(program, rf.FakeBackend(), rf.Policy(optimize=False))
    assert program.run(backend=rf.FakeBackend()).value == expected.value
    assert program.run(backend=rf.FakeBackend(), policy=rf.Policy(optimize=False)).value == (
        expected.value
    )


@settings(max_examples=100, deadline=None)
@given(scripts(failing=True), st.sampled_from(["best_effort", "fail"]))
def test_failing_branches_fail_alike(script: Script, on_error: str) -> None:
    program = build(script)
    policy = rf.Policy(on_error=on_error)  # type: ignore[arg-type]

    def outcome(run: object) -> object:
        try:
            return run().value  # type: ignore[operator]
        except rf.RamifyError as error:
            return "Failure" in str(error) or "failed" in str(error)

    expected = outcome(lambda: naive(program, rf.FakeBackend(), policy))
    assert outcome(lambda: program.run(backend=rf.FakeBackend(), policy=policy)) == expected


@settings(max_examples=25, deadline=None)
@given(scripts(depth=1), st.integers(1, 5))
def test_batches_give_the_same_as_single_runs(script: Script, concurrency: int) -> None:
    program = build(script)
    alone = program.run(backend=rf.FakeBackend()).value
    rows = program.run_batch([{}] * 5, backend=rf.FakeBackend(), concurrency=concurrency)
    assert [row.value for row in rows] == [alone] * 5
