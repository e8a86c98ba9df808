"""Finding passages: an index, rerankers, citations. Imports numpy, never torch."""

from ramify.errors import MissingExtraError
from ramify.retrieval.chunk import Chunker, Fixed, Sentences, WholeDocument
from ramify.retrieval.cite import Citation, Citations, cite, passages_of
from ramify.retrieval.contract import (
    Embedder,
    IndexFileError,
    Passage,
    Passages,
    Reranker,
    RetrievalError,
    Retriever,
    Span,
)
from ramify.retrieval.document import Document
from ramify.retrieval.index import Index
from ramify.retrieval.minilm import MiniLM
from ramify.retrieval.rerank import SentenceReranker, default_reranker, get_reranker

__all__ = [
    "Chunker",
    "Citation",
    "Citations",
    "Document",
    "Embedder",
    "Fixed",
    "Index",
    "IndexFileError",
    "MiniLM",
    "MissingExtraError",
    "Passage",
    "Passages",
    "Reranker",
    "RetrievalError",
    "Retriever",
    "SentenceReranker",
    "Sentences",
    "Span",
    "WholeDocument",
    "cite",
    "default_reranker",
    "get_reranker",
    "passages_of",
]
