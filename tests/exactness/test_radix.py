"""The full stack on real models in float32 equals its naive twin: no cache, in order, no passes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings

import ramify as rf
from ramify.backend.radix import RadixBackend
from ramify.errors import PoolTooSmallError, PromptTooLongError
from ramify.runtime import run_sync
from tests.backend.radix.models import FEW, tiny
from tests.exactness.programs import Script, build, scripts
from tests.exactness.test_fake import naive

STORIES = Path(__file__).parents[3] / "shared/models/stories260K"
quick = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def opened(path: Path, **options: Any) -> RadixBackend:
    return RadixBackend.open(path, dtype="float32", threads=1, **options)


@pytest.fixture(scope="module", params=[*FEW, "stories260K"])
def backends(request: pytest.FixtureRequest) -> Iterator[dict[str, RadixBackend]]:
    """The same weights behind engines of different habits."""
    if request.param == "stories260K" and not STORIES.is_dir():
        pytest.skip("../shared/models/stories260K is not there")
    path = STORIES if request.param == "stories260K" else tiny(request.param)
    found = {
        "naive": opened(path, cache=False, max_batch=1, draft="off"),
        "full": opened(path),
        "evicting": opened(path, pool_tokens=512),  # a few prompts fill it: evicts and preempts
        "chunked": opened(path, token_budget=7, max_batch=3, draft=4),
    }
    yield found
    for backend in found.values():
        run_sync(backend.close())


def answers_of(program: rf.Program, backend: RadixBackend) -> Any:
    """What the naive twin answers; another program, please, where a prompt outgrows the context."""
    try:
        return naive(program, backend, rf.Policy(optimize=False)).value
    except (PoolTooSmallError, PromptTooLongError):
        reject()


@quick
@given(script=scripts(depth=1))
def test_programs_give_the_same_on_every_engine(
    backends: dict[str, RadixBackend], script: Script
) -> None:
    program = build(script)
    expected = answers_of(program, backends["naive"])
    for name in ("full", "evicting", "chunked"):
        assert program.run(backend=backends[name]).value == expected, name


@quick
@given(script=scripts(depth=1))
def test_batches_under_eviction_give_the_same(
    backends: dict[str, RadixBackend], script: Script
) -> None:
    program = build(script)
    expected = answers_of(program, backends["naive"])
    rows = program.run_batch(
        [{}] * 4, backend=backends["evicting"], policy=rf.Policy(optimize=False)
    )
    assert [row.value for row in rows] == [expected] * 4
