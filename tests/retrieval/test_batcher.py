import asyncio
import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from ramify.retrieval.batcher import Batcher
from tests.retrieval.hash_embedder import HashEmbedder


async def test_what_waits_together_is_embedded_together() -> None:
    gate = threading.Event()
    embedder = HashEmbedder(gate=gate)
    batcher = Batcher(embedder)
    texts = [f"query {n % 50}" for n in range(100)]
    waiting = [asyncio.wrap_future(batcher.submit([text], "query")) for text in texts]
    gate.set()
    rows = await asyncio.gather(*waiting)
    assert sum(embedder.calls) == 50  # equal texts once
    assert len(embedder.calls) <= 4  # the first one alone, perhaps, and what came meanwhile
    for text, row in zip(texts, rows, strict=True):
        assert np.array_equal(row, HashEmbedder().embed([text], kind="query"))


def test_vectors_are_remembered_by_kind() -> None:
    embedder = HashEmbedder()
    batcher = Batcher(embedder)
    first = batcher.submit(["a", "b", "a"], "passage").result()
    assert np.array_equal(batcher.submit(["b"], "passage").result()[0], first[1])
    assert embedder.calls == [2]
    batcher.submit(["b"], "query").result()
    assert embedder.calls == [2, 1]
    assert batcher.submit([], "query").result().shape == (0, 64)


def test_an_error_reaches_its_callers_and_the_batcher_goes_on() -> None:
    class Picky(HashEmbedder):
        def embed(
            self, texts: Sequence[str], *, kind: Literal["query", "passage"]
        ) -> NDArray[np.float32]:
            if "bad" in texts:
                raise RuntimeError("cannot read this")
            return super().embed(texts, kind=kind)

    batcher = Batcher(Picky())
    with pytest.raises(RuntimeError, match="cannot read this"):
        batcher.submit(["bad"], "query").result()
    assert batcher.submit(["good"], "query").result().shape == (1, 64)


async def test_a_cancelled_caller_does_not_harm_the_others() -> None:
    gate = threading.Event()
    batcher = Batcher(HashEmbedder(gate=gate))
    first = asyncio.ensure_future(asyncio.wrap_future(batcher.submit(["a"], "query")))
    second = asyncio.ensure_future(asyncio.wrap_future(batcher.submit(["b"], "query")))
    third = asyncio.wrap_future(batcher.submit(["c"], "query"))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    assert (await first).shape == (await third).shape == (1, 64)


def test_callers_on_many_threads() -> None:
    batcher = Batcher(HashEmbedder())
    wrong: list[str] = []

    def ask(name: str) -> None:
        for n in range(30):
            text = f"{name} {n % 7}"
            row = batcher.submit([text], "query").result()
            if not np.array_equal(row, HashEmbedder().embed([text], kind="query")):
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(str(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
