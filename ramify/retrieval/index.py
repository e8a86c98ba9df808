"""The index: documents in, passages out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval import chunk as chunking
from ramify.retrieval import store
from ramify.retrieval.batcher import Dense, batcher_for
from ramify.retrieval.contract import Embedder, Passages, RetrievalError, Span
from ramify.retrieval.document import Document, documents_of, read_documents
from ramify.retrieval.query import Query, answer
from ramify.retrieval.table import Chunk, Table

_EMBED_AT_ONCE = 128  # texts; queries of other callers get their turn in between


class Index:
    """Documents cut into passages, found by their words (BM25), by their meaning (vectors), or
    by both, fused by reciprocal rank (hybrid: the default where there are vectors).

    Safe for threads. Results are deterministic: ties are broken by document id and place.
    """

    def __init__(
        self,
        *,
        chunker: str | chunking.Chunker = "sentences",
        dense: Dense = "auto",
        embedder: Embedder | None = None,
    ) -> None:
        """An empty index.

        `dense`: True needs the [retrieval] extra or an `embedder` (MissingExtraError), "auto"
        does without where the extra is missing (`describe()` says so), False never embeds.
        """
        self.chunker = chunking.chunker_of(chunker)
        self._batcher, self._why_sparse = batcher_for(dense, embedder)
        self._table = Table(self._batcher.embedder.dim if self._batcher else None)
        self._lock = threading.RLock()

    @classmethod
    def of(
        cls,
        documents: Iterable[object],
        *,
        chunker: str | chunking.Chunker = "sentences",
        dense: Dense = "auto",
        embedder: Embedder | None = None,
    ) -> Index:
        """An index of strings, (id, text) pairs, mappings with a "text", Passages or Documents;
        options as of `Index(...)`.
        """
        made = cls(chunker=chunker, dense=dense, embedder=embedder)
        made.add(documents)
        return made

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        chunker: str | chunking.Chunker | None = None,
        dense: Dense = "auto",
        embedder: Embedder | None = None,
    ) -> Index:
        """A saved index, or an index built of a file or folder (.txt, .md, .jsonl).

        Options as of `Index(...)`; a saved index keeps the chunker that it was made with. Raises
        IndexFileError for a saved index of another version or with a broken file.
        """
        place = Path(path)
        if store.is_saved(place):
            return cls._load(place, chunker, dense, embedder)
        documents = read_documents(place)
        return cls.of(documents, chunker=chunker or "sentences", dense=dense, embedder=embedder)

    @classmethod
    def _load(
        cls,
        path: Path,
        chunker: str | chunking.Chunker | None,
        dense: Dense,
        embedder: Embedder | None,
    ) -> Index:
        table, settings = store.load(path)
        kept = chunking.from_json(settings["chunker"])
        if chunker is not None and chunking.chunker_of(chunker) != kept:
            raise RetrievalError(
                f"the index saved in {str(path)!r} was cut by {kept}.",
                hint="Leave chunker out, or build the index again.",
            )
        saved = settings["embedder"]
        if dense is True and saved is None:
            raise RetrievalError(
                f"the index saved in {str(path)!r} has no vectors.",
                hint="Build it again with dense=True, or open it with dense=False.",
            )
        made = cls(
            chunker=kept,
            dense=dense if saved is not None else False,
            embedder=embedder if saved is not None else None,
        )
        if saved is None:
            made._why_sparse = "it was saved without vectors"
        elif made._batcher is None:
            table.vectors = None
        elif made._batcher.embedder.name != saved:
            raise RetrievalError(
                f"the index saved in {str(path)!r} has vectors of {saved!r}, the embedder is "
                f"{made._batcher.embedder.name!r}.",
                hint="Open it with the embedder that made it, or build it again.",
            )
        made._table = table
        return made

    def save(self, path: str | PathLike[str]) -> None:
        """Write the index to a folder; one that is there already is replaced in one step."""
        with self._lock:
            self._table.compact()
            settings = {
                "chunker": chunking.to_json(self.chunker),
                "embedder": self._batcher.embedder.name if self._batcher else None,
            }
            store.save(self._table, settings, Path(path))

    def add(self, documents: Iterable[object]) -> None:
        """Add documents. One whose id is there with the same content is left alone; with other
        content it is a RetrievalError, and nothing is added: `upsert` replaces it.
        """
        found = documents_of(documents)
        given: dict[str, Document] = {}
        with self._lock:
            for document in found:
                known = self._table.documents.get(document.id)
                other = known or given.setdefault(document.id, document)
                if other is document or other.digest == document.digest:
                    continue
                where = "is in the index" if known is not None else "is given twice,"
                raise RetrievalError(
                    f"document {document.id!r} {where} with another content.",
                    hint="Give it another id, or use upsert: the last one then counts.",
                )
        self.upsert(found)

    def upsert(self, documents: Iterable[object]) -> list[str]:
        """Add documents, replacing those of the same id; of equal ids the last one counts.

        Returns the ids that are new or changed; a document of unchanged content costs nothing.
        """
        latest = {document.id: document for document in documents_of(documents)}
        digests = {name: document.digest for name, document in latest.items()}
        with self._lock:
            known = {name: self._table.documents.get(name) for name in latest}
        changed = []
        for name, document in latest.items():
            old = known[name]
            if old is None or old.digest != digests[name]:
                changed.append(document)
        spans = [self.chunker.chunk(document.text) for document in changed]
        vectors = self._embed(changed, spans)
        with self._lock:
            for document, pieces, rows in zip(changed, spans, vectors, strict=True):
                if document.id in self._table.documents:
                    self._table.remove(document.id)
                self._table.add(document, pieces, rows)
        return [document.id for document in changed]

    def delete(self, ids: str | Iterable[str]) -> None:
        """Remove documents by id. RetrievalError where one is not there; then none is removed."""
        names = [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))
        with self._lock:
            unknown = [name for name in names if name not in self._table.documents]
            if unknown:
                raise RetrievalError(f"no document {unknown[0]!r} in the index.")
            for name in names:
                self._table.remove(name)

    async def search(self, query: str, k: int = 5, **options: Any) -> Passages:
        """The `k` best passages, best first, numbered from 1; fewer where fewer match.

        Options: `mode` "hybrid" (default with vectors), "sparse" (default without) or "dense";
        `where`, a filter (see `ramify.retrieval.filters`); `mmr`, the weight from 0 to 1 of
        relevance against diversity. A score is the fused reciprocal rank, BM25 or the cosine,
        as the mode has it. Raises RetrievalError for options that cannot be.
        """
        checked = Query.of(query, k, self.dense, options)
        waiting = self._query_vector(checked)
        vector = None if waiting is None else (await asyncio.wrap_future(waiting))[0]
        return await asyncio.to_thread(self._answer, checked, vector)

    def search_now(self, query: str, k: int = 5, **options: Any) -> Passages:
        """`search` for code that is not async; it blocks."""
        checked = Query.of(query, k, self.dense, options)
        waiting = self._query_vector(checked)
        return self._answer(checked, None if waiting is None else waiting.result()[0])

    @property
    def dense(self) -> bool:
        """Whether passages are found by meaning too."""
        return self._batcher is not None

    def describe(self) -> str:
        """What is in the index and how it searches, for people."""
        with self._lock:
            documents, passages = len(self._table.documents), len(self._table)
            vectors = self._table.vectors
            lists = vectors is not None and vectors.approximate
        lines = [f"{documents} documents, {passages} passages, cut by {self.chunker}"]
        lines.append("sparse: BM25")
        if self._batcher is None:
            lines.append(f"dense: none, {self._why_sparse}; searches are sparse")
        else:
            how = "faiss inverted lists, approximate" if lists else "exact"
            lines.append(f"dense: {self._batcher.embedder.name}, {how}; searches are hybrid")
        return "\n".join(lines)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the documents, in the order in which they came."""
        with self._lock:
            return tuple(self._table.documents)

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return name in self._table.documents

    def __getitem__(self, name: str) -> Document:
        """A document by id; KeyError where there is none."""
        with self._lock:
            return self._table.documents[name]

    def __len__(self) -> int:
        """How many documents there are."""
        with self._lock:
            return len(self._table.documents)

    def __repr__(self) -> str:
        return f"Index({len(self)} documents, {'hybrid' if self.dense else 'sparse'})"

    def check(self) -> None:
        """Raise RetrievalError where an invariant does not hold."""
        with self._lock:
            self._table.check()

    def _answer(self, query: Query, vector: NDArray[np.float32] | None) -> Passages:
        with self._lock:
            return answer(query, self._table, vector)

    def _query_vector(self, query: Query) -> Future[NDArray[np.float32]] | None:
        if query.mode == "sparse":
            return None
        assert self._batcher is not None, "the mode was checked"
        return self._batcher.submit([query.text], "query")

    def _embed(
        self, documents: list[Document], spans: list[list[Span]]
    ) -> list[NDArray[np.float32] | None]:
        """Per document the vectors of its chunks [chunks, dim], or None without an embedder."""
        if self._batcher is None:
            return [None] * len(documents)
        texts = [
            Chunk(document, at, len(pieces), span).indexed
            for document, pieces in zip(documents, spans, strict=True)
            for at, span in enumerate(pieces)
        ]
        parts = [
            self._batcher.submit(texts[at : at + _EMBED_AT_ONCE], "passage")
            for at in range(0, len(texts), _EMBED_AT_ONCE)
        ]
        empty = np.zeros((0, self._batcher.embedder.dim), dtype=np.float32)
        rows = np.concatenate([empty, *(part.result() for part in parts)])
        ends = np.cumsum([len(pieces) for pieces in spans])
        return list(np.split(rows, ends[:-1])) if documents else []
