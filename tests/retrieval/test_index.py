import asyncio
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.retrieval import Index, MissingExtraError, Passages, RetrievalError, minilm
from tests.retrieval.hash_embedder import HashEmbedder

TOWNS = [
    {"id": "a", "title": "Aldmoor", "text": "It lies on the river Bruna.", "people": 4000},
    {
        "id": "b",
        "title": "Beckham",
        "text": "The harbour trades wool. It was founded in 1340.",
        "people": 9000,
    },
    {
        "id": "c",
        "title": "Calbury",
        "text": "The mayor is Ada Berg. The river is the Taena.",
        "people": 2000,
    },
]


def hybrid(documents: Any = TOWNS, **options: Any) -> Index:
    return Index.of(documents, embedder=HashEmbedder(), **options)


def test_passages_carry_where_they_come_from() -> None:
    index = Index.of(TOWNS, dense=False, chunker="sentences")
    found = index.search_now("harbour wool", 3)
    assert str(found) == "[1] The harbour trades wool. It was founded in 1340."
    (passage,) = found
    assert (passage.id, passage.source, passage.title) == ("b", "b", "Beckham")
    assert passage.spans[0].of(index["b"].text) == passage.text
    assert passage.score > 0 and passage.meta["people"] == 9000
    found.check()


def test_titles_are_searched() -> None:
    assert Index.of(TOWNS, dense=False).search_now("Calbury").numbers == (1,)


def test_chunks_have_ids_of_their_own() -> None:
    text = " ".join(f"Sentence number {n} about the mill." for n in range(60))
    index = Index.of([("long", text)], dense=False)
    found = index.search_now("mill", 50)
    assert {p.source for p in found} == {"long"}
    assert len({p.id for p in found}) == len(found) > 1
    assert all(p.id.startswith("long#") for p in found)


@pytest.mark.parametrize("mode", ["hybrid", "sparse", "dense"])
def test_modes(mode: str) -> None:
    found = hybrid().search_now("which river is it", 2, mode=mode)
    assert len(found) == 2
    assert {p.source for p in found} == {"a", "c"}


def test_filters_and_diversity() -> None:
    index = hybrid()
    where = {"field": "people", "op": "<", "value": 5000}
    assert {p.source for p in index.search_now("river", 5, where=where)} == {"a", "c"}
    assert index.search_now("river", 5, where={"field": "id", "op": "==", "value": "z"}) == (
        Passages()
    )
    twins = [("x1", "red mill by a lake"), ("x2", "red mill by a lake"), ("y", "red hill")]
    for made in (Index.of(twins, dense=False), hybrid(twins)):
        assert [p.source for p in made.search_now("red mill", 2)] == ["x1", "x2"]
        assert [p.source for p in made.search_now("red mill", 2, mmr=0.3)] == ["x1", "y"]


def test_ties_are_broken_by_id_whatever_the_history() -> None:
    documents = [(name, "the same words") for name in "dbeac"]
    for index in (Index.of(documents, dense=False), hybrid(documents)):
        assert [p.source for p in index.search_now("same words")] == list("abcde")
        index.upsert([("b", "other"), ("b", "the same words again")])
        index.upsert([("b", "the same words")])
        assert [p.source for p in index.search_now("same words")] == list("abcde")


def test_add_upsert_delete() -> None:
    index = hybrid()
    index.add(TOWNS[:1])  # the same content again
    assert len(index) == 3
    with pytest.raises(RetrievalError, match=r"'a' is in the index with another content.*upsert"):
        index.add([("new", "text"), ("a", "changed")])
    assert "new" not in index
    with pytest.raises(RetrievalError, match=r"'x' is given twice, with another content.*upsert"):
        index.add([("x", "one"), ("x", "one"), ("x", "other")])
    assert "x" not in index
    assert index.upsert([("a", "changed"), TOWNS[1]]) == ["a"]
    assert index["a"].text == "changed"
    with pytest.raises(RetrievalError, match="no document 'zz'"):
        index.delete(["b", "zz"])
    index.delete("b")
    index.delete([])
    assert index.ids == ("c", "a")
    index.check()


WORDS = st.lists(
    st.sampled_from(["red", "mill", "by", "a", "lake.", "The", "ran"]), min_size=1, max_size=12
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["upsert", "delete"]), st.sampled_from("abcd"), WORDS), max_size=12
)


@given(CHANGES, st.booleans())
def test_any_history_gives_the_index_of_what_is_left(
    changes: list[tuple[str, str, list[str]]], dense: bool
) -> None:
    options: dict[str, Any] = {"embedder": HashEmbedder()} if dense else {"dense": False}
    index = Index(**options)
    left: dict[str, str] = {}
    for kind, name, text in changes:
        if kind == "upsert":
            index.upsert([(name, " ".join(text))])
            left[name] = " ".join(text)
        elif name in left:
            index.delete(name)
            del left[name]
    index.check()
    fresh = Index.of(left.items(), **options)
    for query in ("red mill", "lake ran"):
        assert index.search_now(query) == fresh.search_now(query)


def test_many_deletions_make_the_table_compact() -> None:
    index = hybrid([(str(n), f"mill number {n}") for n in range(600)])
    index.delete([str(n) for n in range(590)])
    index.check()
    assert len(index._table.chunks) < 300
    assert len(index.search_now("mill", 20)) == 10


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("", 5, {}), "the query is empty"),
        (("x", 0, {}), "k=0 is not allowed"),
        (("x", True, {}), "k=True is not allowed"),
        (("x", 5, {"modus": "dense"}), "unknown search option 'modus'. Did you mean 'mode'"),
        (("x", 5, {"zzz": 1}), "Known: mode, where, mmr"),
        (("x", 5, {"mode": "fast"}), "Known: hybrid, sparse, dense"),
        (("x", 5, {"mode": "dense"}), "this index has none. index.describe"),
        (("x", 5, {"mmr": 2}), "mmr=2 is not allowed"),
    ],
)
async def test_searches_that_cannot_be(asked: tuple[str, int, Any], message: str) -> None:
    index = Index.of(TOWNS, dense=False)
    query, k, options = asked
    with pytest.raises(RetrievalError, match=message):
        index.search_now(query, k, **options)
    with pytest.raises(RetrievalError, match=message):
        await index.search(query, k, **options)


def test_an_empty_index_finds_nothing() -> None:
    for index in (Index(dense=False), Index(embedder=HashEmbedder()), hybrid([""])):
        assert index.search_now("anything") == Passages()
        index.check()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "missing", lambda: "sentence-transformers")
    index = Index.of(TOWNS)
    assert not index.dense
    assert "dense: none, sentence-transformers not installed" in index.describe()
    assert index.search_now("river")
    with pytest.raises(MissingExtraError, match=r'pip install "ramify\[retrieval\]"'):
        Index.of(TOWNS, dense=True)


def test_options_that_cannot_be() -> None:
    with pytest.raises(RetrievalError, match="dense='yes'"):
        Index(dense="yes")  # type: ignore[arg-type]
    with pytest.raises(RetrievalError, match="contradict"):
        Index(dense=False, embedder=HashEmbedder())


def test_many_rows_are_searched_through_inverted_lists() -> None:
    pytest.importorskip("faiss")
    index = hybrid([(str(n), f"mill number {n} by lake {n % 17}") for n in range(400)])
    index.delete([str(n) for n in range(0, 400, 4)])
    queries = [f"mill number {n} by lake {n % 17}" for n in range(1, 400, 8)]
    exact = [index.search_now(query, 1) for query in queries]
    assert index._table.vectors is not None
    index._table.vectors._faiss_from = 100
    assert "faiss inverted lists, approximate" in index.describe()
    found = [index.search_now(query, 1) for query in queries]
    assert sum(a == b for a, b in zip(exact, found, strict=True)) > 0.9 * len(queries)


async def test_concurrent_searches_share_batches_and_are_right() -> None:
    gate = threading.Event()
    gate.set()
    embedder = HashEmbedder(gate=gate)
    names = [f"w{n}" for n in range(40)]
    index = Index.of([(name, f"{name} mill") for name in names], embedder=embedder)
    built = len(embedder.calls)
    gate.clear()
    searches = [asyncio.create_task(index.search(name, 1)) for name in names]
    await asyncio.sleep(0)  # all of them have asked
    gate.set()
    found = await asyncio.gather(*searches)
    assert [p[0].source for p in found] == names
    assert len(embedder.calls) - built <= 2  # the first one, and all that came meanwhile
    assert [index.search_now(name, 1) for name in names] == list(found)


def test_searching_while_documents_change() -> None:
    index = hybrid([(str(n), f"mill {n}") for n in range(30)])
    stop = threading.Event()
    errors: list[BaseException] = []

    def change() -> None:
        rng = random.Random(0)
        try:
            while not stop.is_set():
                index.upsert([(str(rng.randrange(30)), f"mill {rng.random()}")])
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(200):
        assert len(index.search_now("mill", 40)) == 30
    stop.set()
    thread.join()
    assert errors == []
    index.check()


def test_describe_and_repr() -> None:
    index = hybrid()
    assert repr(index) == "Index(3 documents, hybrid)"
    assert "3 documents, 3 passages" in index.describe()
    assert "dense: hash, exact; searches are hybrid" in index.describe()
    assert "Sentences(words=150, overlap=20)" in index.describe()


def test_importing_needs_no_torch() -> None:
    code = (
        "import sys, ramify.retrieval as r, ramify.compressors;"
        "r.Index.of(['a b'], dense=False).search_now('a');"
        "sys.exit(bool({'torch', 'transformers', 'faiss', 'bm25s'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
