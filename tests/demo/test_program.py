"""The main job on the shipped documents."""

import pytest

import ramify as rf
from ramify.demo.program import describe, describe_plainly, outline
from ramify.demo.world import ASPECTS, facts_right, load_questions, load_towns
from ramify.retrieval import Passages


def test_the_outline_names_exactly_the_aspects_of_each_passage() -> None:
    titles = {aspect.key: aspect.title for aspect in ASPECTS}
    for town in load_towns():
        expected = [titles[a.key] for a in ASPECTS if a.key in town.facts]
        assert outline(Passages.of([town.text])) == expected, town.title


@pytest.fixture(scope="module")
def towns() -> rf.Index:
    documents = [{"id": t.id, "title": t.title, "text": t.text} for t in load_towns()]
    return rf.Index.of(documents, chunker="document", dense=False)


def test_calls_of_the_main_job(towns: rf.Index) -> None:
    """One branch per point, all behind the same passage; the plain way repeats it each time."""
    backend = rf.FakeBackend(cache_tokens=100_000)
    result = describe.run("Describe Oldworth.", towns, backend=backend)
    asked = [call.text for call in backend.calls]
    assert len(asked) == len(result.text.splitlines()) == 10
    assert all("Write only this point: " in text and "Oldworth" in text for text in asked)
    assert backend.calls[0].cached == 0
    assert all(call.cached > call.tokens * 0.8 for call in backend.calls[1:])
    assert result["cited"].text == result.text
    plain = describe_plainly.run("Describe Oldworth.", towns, backend=rf.FakeBackend())
    assert len(plain.text.splitlines()) == 10


def test_facts_of_the_demo_model(towns: rf.Index) -> None:
    described = [q for q in load_questions() if q.kind == "description"][:8]
    backend = rf.open_backend("demo")
    try:
        results = describe.run_batch(
            [{"question": q.question, "towns": towns} for q in described], backend=backend
        )
    finally:
        from ramify.runtime import run_sync

        run_sync(backend.close())
    right = sum(facts_right(r.text, q.facts) for r, q in zip(results, described, strict=True))
    asked = sum(len(q.facts) for q in described)
    assert right / asked >= 0.9, f"{right} of {asked}"
