"""What an index holds: documents, their chunks, and one BM25 row and one vector per chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ramify.retrieval.bm25 import BM25
from ramify.retrieval.contract import Passage, RetrievalError, Span
from ramify.retrieval.document import Document
from ramify.retrieval.terms import terms
from ramify.retrieval.vectors import Vectors

_COMPACT_FROM = 256  # dead rows


class Chunk(NamedTuple):
    """Chunk `number` (from 0) of the `total` chunks of a document."""

    document: Document
    number: int
    total: int
    span: Span

    @property
    def text(self) -> str:
        return self.span.of(self.document.text)

    @property
    def indexed(self) -> str:
        """What is searched: a chunk from the middle of a document still knows its title."""
        title = self.document.title
        return f"{title}\n{self.text}" if title else self.text

    @property
    def key(self) -> tuple[str, int]:
        """Orders chunks in the same way whatever the history of the index."""
        return (self.document.id, self.number)

    def passage(self, number: int, score: float) -> Passage:
        document = self.document
        name = document.id if self.total == 1 else f"{document.id}#{self.number}"
        return Passage(
            id=name,
            text=self.text,
            number=number,
            title=document.title,
            source=document.id,
            spans=(self.span,),
            score=score,
            meta=document.meta,
        )


class Table:
    """Rows in step: `chunks[row]`, BM25 row, vector row. A removed row keeps its number until
    the table is made compact. Not safe for threads: the owner locks.
    """

    def __init__(self, dim: int | None = None) -> None:
        self.documents: dict[str, Document] = {}
        self.chunks: list[Chunk | None] = []
        self.bm25 = BM25()
        self.vectors: Vectors | None = None if dim is None else Vectors(dim)
        self._rows: dict[str, list[int]] = {}
        self._living = 0

    def add(
        self, document: Document, spans: Sequence[Span], vectors: NDArray[np.float32] | None
    ) -> None:
        """Add a new document; `vectors` [len(spans), dim] where the table has them."""
        chunks = [Chunk(document, at, len(spans), span) for at, span in enumerate(spans)]
        if self.vectors is not None:
            if vectors is None or len(vectors) != len(chunks):
                raise RetrievalError(f"document {document.id!r}: vectors and chunks differ.")
            self.vectors.append(vectors)
        self.documents[document.id] = document
        self._rows[document.id] = [self.bm25.add(terms(chunk.indexed)) for chunk in chunks]
        self.chunks.extend(chunks)
        self._living += len(chunks)

    def remove(self, name: str) -> None:
        """Remove a document that is there."""
        del self.documents[name]
        for row in self._rows.pop(name):
            chunk = self.chunks[row]
            assert chunk is not None, "a document's rows are alive"
            self.bm25.remove(row, terms(chunk.indexed))
            self.chunks[row] = None
            self._living -= 1
        dead = len(self.chunks) - len(self)
        if dead >= max(_COMPACT_FROM, len(self)):
            self.compact()

    def compact(self) -> None:
        """Give up the rows of removed documents."""
        living = [(row, chunk) for row, chunk in enumerate(self.chunks) if chunk is not None]
        if len(living) == len(self.chunks):
            return
        self.chunks = [chunk for _, chunk in living]
        self.bm25 = BM25(terms(chunk.indexed) for _, chunk in living)
        if self.vectors is not None:
            self.vectors = self.vectors.take([row for row, _ in living])
        self.link()

    def link(self) -> None:
        """Find each document's rows anew from the chunks."""
        self._rows = {name: [] for name in self.documents}
        self._living = sum(chunk is not None for chunk in self.chunks)
        for row, chunk in enumerate(self.chunks):
            if chunk is not None:
                self._rows[chunk.document.id].append(row)

    def __len__(self) -> int:
        """Chunks that can be found."""
        return self._living

    def living(self) -> Iterator[Chunk]:
        return (chunk for chunk in self.chunks if chunk is not None)

    def chunk(self, row: int) -> Chunk:
        """The chunk of a living row."""
        chunk = self.chunks[row]
        assert chunk is not None, "rows of removed documents are never found"
        return chunk

    def allowed(self, test: Callable[[Document], bool] | None) -> NDArray[np.bool_]:
        """Which rows [len(chunks)] may be found: alive, and their document passes the test."""
        mask = np.frombuffer(bytes(self.bm25.alive), dtype=np.bool_).copy()
        if test is not None:
            for name, rows in self._rows.items():
                if not test(self.documents[name]):
                    mask[rows] = False
        return mask

    def check(self) -> None:
        """Raise RetrievalError where the parts are out of step."""
        self.bm25.check()
        count = len(self.chunks)
        if len(self.bm25) != count or (self.vectors is not None and len(self.vectors) != count):
            raise RetrievalError("index: chunks, BM25 rows and vectors are out of step.")
        if self._living != sum(len(rows) for rows in self._rows.values()):
            raise RetrievalError("index: the number of chunks is wrong.")
        for row, chunk in enumerate(self.chunks):
            if (chunk is not None) != bool(self.bm25.alive[row]):
                raise RetrievalError(f"index: row {row} is half removed.")
            if chunk is not None and self.documents.get(chunk.document.id) is not chunk.document:
                raise RetrievalError(f"index: row {row} belongs to an unknown document.")
        for name, rows in self._rows.items():
            numbers = [self.chunk(row).number for row in rows]
            if name not in self.documents or numbers != list(range(len(rows))):
                raise RetrievalError(f"index: the rows of document {name!r} are out of order.")
