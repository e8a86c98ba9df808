import json
from pathlib import Path

import pytest

from ramify.retrieval import Index, IndexFileError, RetrievalError, Sentences, minilm
from tests.retrieval.hash_embedder import HashEmbedder

DOCUMENTS = [
    {"id": "ä/1", "title": "Töwn", "text": "The mill. " * 60, "n": [1, {"x": None}]},
    {"id": "b", "text": "A river \u2013 wide\u2028and blue. 東京タワー"},
    {"id": "empty", "text": ""},
]


def made(**options: object) -> Index:
    index = Index.of([*DOCUMENTS, ("gone", "gone")], chunker=Sentences(20, 4), **options)
    index.delete("gone")
    return index


@pytest.mark.parametrize("dense", [False, True])
def test_a_saved_index_finds_the_same(tmp_path: Path, dense: bool) -> None:
    options = {"embedder": HashEmbedder()} if dense else {"dense": False}
    index = made(**options)
    index.save(tmp_path / "deep" / "index")
    again = Index.open(tmp_path / "deep" / "index", **options)
    again.check()
    assert again.ids == index.ids and again.chunker == index.chunker
    assert [again[name] for name in again.ids] == [index[name] for name in index.ids]
    for query in ("mill", "blue river", "東京"):
        assert again.search_now(query, 10) == index.search_now(query, 10)
    again.upsert([("b", "another mill")])
    again.check()
    again.save(tmp_path / "deep" / "index")  # replaces
    assert Index.open(tmp_path / "deep" / "index", **options)["b"].text == "another mill"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["index"]


def test_an_empty_index_is_saved(tmp_path: Path) -> None:
    Index(dense=False).save(tmp_path / "i")
    assert len(Index.open(tmp_path / "i")) == 0


def test_opening_a_folder_builds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The red mill.")
    index = Index.open(tmp_path, dense=False, chunker="document")
    assert index.search_now("mill")[0].source == "a.txt"
    assert Index.open(tmp_path / "a.txt", dense=False).ids == ("a.txt",)


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(IndexFileError, match="exists and is not a saved index"):
        made(dense=False).save(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    "name", ["documents.jsonl", "chunks.npy", "bm25.npz", "terms.txt", "vectors.npy"]
)
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "i"
    made(embedder=HashEmbedder()).save(path)
    with (path / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(IndexFileError, match=f"{name} is broken: expected sha256 [0-9a-f]+, got"):
        Index.open(path, embedder=HashEmbedder())
    (path / name).unlink()
    with pytest.raises(IndexFileError, match=f"{name} is broken.*no such file"):
        Index.open(path, embedder=HashEmbedder())


def test_a_broken_manifest(tmp_path: Path) -> None:
    made(dense=False).save(tmp_path / "i")
    manifest = tmp_path / "i" / "manifest.json"
    whole = json.loads(manifest.read_text())
    for text, message in [
        ("{", "manifest.json is broken"),
        ("[]", "not the manifest of an index"),
        (json.dumps({**whole, "version": 99}), "has format version 99, this Ramify reads 1"),
        (json.dumps({"format": "ramify-index", "version": 1}), "no files or settings"),
    ]:
        manifest.write_text(text)
        with pytest.raises(IndexFileError, match=message):
            Index.open(tmp_path / "i")


def test_vectors_need_their_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(embedder=HashEmbedder()).save(tmp_path / "i")
    other = HashEmbedder()
    other.name = "other"
    with pytest.raises(RetrievalError, match="vectors of 'hash', the embedder is 'other'"):
        Index.open(tmp_path / "i", embedder=other)
    assert not Index.open(tmp_path / "i", dense=False).dense
    monkeypatch.setattr(minilm, "missing", lambda: "sentence-transformers")
    sparse = Index.open(tmp_path / "i")
    sparse.check()
    assert "not installed" in sparse.describe()


def test_a_sparse_index_stays_sparse(tmp_path: Path) -> None:
    made(dense=False).save(tmp_path / "i")
    assert "saved without vectors" in Index.open(tmp_path / "i").describe()
    with pytest.raises(RetrievalError, match="has no vectors"):
        Index.open(tmp_path / "i", dense=True)


def test_a_saved_index_keeps_its_chunker(tmp_path: Path) -> None:
    made(dense=False).save(tmp_path / "i")
    assert Index.open(tmp_path / "i", chunker=Sentences(20, 4)).chunker == Sentences(20, 4)
    with pytest.raises(RetrievalError, match=r"was cut by Sentences\(words=20, overlap=4\)"):
        Index.open(tmp_path / "i", chunker="fixed")
