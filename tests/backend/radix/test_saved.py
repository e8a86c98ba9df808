"""Saved prefixes: a later process starts warm and says the same, or is told why it cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ramify.backend.collect import collect
from ramify.backend.contract import BlockSpan, Request, TokenPrompt
from ramify.backend.radix import RadixBackend
from ramify.errors import BackendError, PoolTooSmallError
from ramify.ir.sampling import Sampling
from tests.backend.radix.harness import greedy
from tests.backend.radix.models import tiny

PREFIX = tuple(range(5, 65))
ROOT = Path(__file__).parents[3]


def ask(*more: int) -> Request:
    return Request(
        prompt=TokenPrompt(PREFIX + more), sampling=Sampling(max_tokens=8, ignore_end=True)
    )


def opened(family: str = "llama", **options: object) -> RadixBackend:
    return RadixBackend.open(tiny(family), threads=1, **{"pool_tokens": 300, **options})


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Path]:
    backend = opened()
    usage = await backend.save(TokenPrompt(PREFIX), tmp_path / "p.safetensors")
    assert usage.computed_tokens == 60
    assert [p.name for p in tmp_path.iterdir()] == ["p.safetensors"]
    await backend.close()
    yield tmp_path / "p.safetensors"


async def test_what_was_loaded_is_not_computed_and_changes_nothing(file: Path) -> None:
    backend = opened()
    assert await backend.load(file) == TokenPrompt(PREFIX)
    found = await collect(backend.generate(ask(7, 8)))
    assert found.ids == greedy("llama", (*PREFIX, 7, 8), 8)
    assert found.usage.cached_tokens == 60
    await backend.load(file)  # again: nothing is new
    await backend.load(file, salt="tenant")
    now = await backend.snapshot()
    assert now.used == now.cached == 60 + 9 + 60
    found = await collect(backend.generate(ask(7, 8)))
    assert found.ids == greedy("llama", (*PREFIX, 7, 8), 8)
    await backend.clear_cache()
    assert (await backend.snapshot()).used == 0
    await backend.close()


async def test_what_is_half_known_is_completed(file: Path) -> None:
    backend = opened()
    await backend.prefill(TokenPrompt(PREFIX[:25]))
    await backend.load(file)
    assert (await backend.snapshot()).used == 60
    found = await collect(backend.generate(ask(9)))
    assert found.ids == greedy("llama", (*PREFIX, 9), 8) and found.usage.cached_tokens == 60
    await backend.close()


async def test_a_later_process_starts_warm(file: Path) -> None:
    code = f"""
import asyncio
from ramify.backend.radix import RadixBackend
async def main():
    backend = RadixBackend.open({str(tiny("llama"))!r}, threads=1, pool_tokens=300)
    prompt = await backend.load({str(file)!r})
    print((await backend.prefill(prompt)).cached_tokens)
    await backend.close()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("60\n", 0), done.stderr


@pytest.mark.parametrize("keep", [0, 5, 700, -1])
async def test_a_file_that_is_not_whole_is_refused(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    backend = opened()
    with pytest.raises(BackendError, match="not a whole saved prefix"):
        await backend.load(file)
    assert (await backend.snapshot()).used == 0
    await backend.close()


async def test_a_file_that_is_not_there_or_something_else_is_refused(tmp_path: Path) -> None:
    backend = opened()
    with pytest.raises(BackendError, match="not a whole saved prefix"):
        await backend.load(tmp_path / "none")
    with pytest.raises(BackendError, match="but not a saved prefix"):
        await backend.load(tiny("llama") / "model.safetensors")
    with pytest.raises(BackendError, match="cannot be written"):
        await backend.save(TokenPrompt(PREFIX), tmp_path / "no folder" / "p")
    await backend.close()


@pytest.mark.parametrize(
    ("family", "options", "what"),
    [
        ("qwen2", {}, "model"),
        ("llama", {"dtype": "bfloat16"}, "dtype 'torch.float32'"),
        ("llama", {"quantize": "int8"}, "quantize 'none'"),
    ],
)
async def test_another_model_is_refused(
    file: Path, family: str, options: dict[str, str], what: str
) -> None:
    backend = opened(family, **options)
    with pytest.raises(BackendError, match=f"was saved with {what}"):
        await backend.load(file)
    await backend.close()


async def test_other_weights_of_the_same_shape_are_refused(file: Path) -> None:
    backend = RadixBackend.open(tiny("llama", seed=1), threads=1, pool_tokens=300)
    with pytest.raises(BackendError, match="was saved with model"):
        await backend.load(file)
    await backend.close()


async def test_a_pool_without_room_says_so_with_sizes(file: Path) -> None:
    small = opened(pool_tokens=50)
    with pytest.raises(PoolTooSmallError, match=r"needs 60 KV slots.* has 50"):
        await small.load(file)
    with pytest.raises(BackendError, match="only text"):
        await small.save(TokenPrompt(PREFIX[:9], blocks=(BlockSpan(0, 4, 0),)), file)
    await small.close()
    naive = opened(cache=False)
    for call in (naive.load(file), naive.save(TokenPrompt(PREFIX), file)):
        with pytest.raises(BackendError, match="cache=False"):
            await call
    await naive.close()
