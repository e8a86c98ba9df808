"""A saved index: a folder with a versioned manifest that knows the hash of every file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from ramify.retrieval.bm25 import BM25
from ramify.retrieval.contract import IndexFileError, Span
from ramify.retrieval.document import Document
from ramify.retrieval.table import Chunk, Table
from ramify.retrieval.vectors import Vectors

FORMAT, VERSION = "ramify-index", 1
MANIFEST = "manifest.json"
_DOCUMENTS, _CHUNKS, _BM25, _TERMS, _VECTORS = (
    "documents.jsonl",
    "chunks.npy",
    "bm25.npz",
    "terms.txt",
    "vectors.npy",
)


def is_saved(path: Path) -> bool:
    """Whether a folder is a saved index, readable or not."""
    return (path / MANIFEST).is_file()


def save(table: Table, settings: dict[str, Any], path: Path) -> None:
    """Write a table without removed rows, and the settings of its index.

    A saved index at `path` is replaced in one step, so that a reader finds the old or the new one
    whole. Raises IndexFileError where `path` is something else.
    """
    if path.exists() and not is_saved(path) and not (path.is_dir() and not any(path.iterdir())):
        raise IndexFileError(
            f"{str(path)!r} exists and is not a saved index.", hint="Save to a new folder."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    fresh.mkdir()
    try:
        _write(table, fresh)
        files = {file.name: _sha256(file) for file in sorted(fresh.iterdir())}
        manifest = {"format": FORMAT, "version": VERSION, "settings": settings, "files": files}
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
        if path.exists():
            old = fresh.with_suffix(".old")
            os.replace(path, old)
            os.replace(fresh, path)
            shutil.rmtree(old)
        else:
            os.replace(fresh, path)
    finally:
        if fresh.exists():
            shutil.rmtree(fresh)


def _write(table: Table, folder: Path) -> None:
    order = {name: at for at, name in enumerate(table.documents)}
    with (folder / _DOCUMENTS).open("w", encoding="utf-8", newline="\n") as out:
        for document in table.documents.values():
            row = {"id": document.id, "title": document.title, "text": document.text}
            out.write(json.dumps({**row, "meta": dict(document.meta)}, allow_nan=False) + "\n")
    rows = [[order[c.document.id], c.number, c.total, *c.span] for c in table.living()]
    np.save(folder / _CHUNKS, np.array(rows, dtype=np.int64).reshape(len(rows), 5))
    np.savez(folder / _BM25, **table.bm25.arrays())  # type: ignore[arg-type]
    # a term never holds a line break: terms are runs of letters and digits
    text = "\n".join(table.bm25.terms())
    (folder / _TERMS).write_text(text, encoding="utf-8", newline="\n")
    if table.vectors is not None:
        np.save(folder / _VECTORS, table.vectors.rows)


def load(path: Path) -> tuple[Table, dict[str, Any]]:
    """Read what `save` wrote. IndexFileError names the version, or the file that is broken."""
    manifest = _manifest(path)
    for name, expected in manifest["files"].items():
        file = path / name
        got = _sha256(file) if file.is_file() else "no such file"
        if got != expected:
            raise IndexFileError(
                f"saved index {str(path)!r}: {name} is broken: expected sha256 {expected}, "
                f"got {got}.",
                hint="Build the index again, or restore the file.",
            )
    with (path / _DOCUMENTS).open(encoding="utf-8") as lines:
        documents = [Document(**json.loads(line)) for line in lines]
    table = Table()
    table.documents = {document.id: document for document in documents}
    for document, number, total, start, stop in np.load(path / _CHUNKS).tolist():
        table.chunks.append(Chunk(documents[document], number, total, Span(start, stop)))
    terms = (path / _TERMS).read_text(encoding="utf-8")
    with np.load(path / _BM25, allow_pickle=False) as held:
        arrays = dict(held)  # an archive reads its array anew at each look
    table.bm25 = BM25.restore(terms.split("\n") if terms else [], arrays)
    if _VECTORS in manifest["files"]:
        rows = np.load(path / _VECTORS, allow_pickle=False)
        table.vectors = Vectors(rows.shape[1])
        table.vectors.append(rows)
    table.link()
    return table, manifest["settings"]


def _manifest(path: Path) -> dict[str, Any]:
    where = f"saved index {str(path)!r}"
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise IndexFileError(
            f"{where}: {MANIFEST} is broken: {error}.", hint="Build the index again."
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise IndexFileError(f"{where}: {MANIFEST} is not the manifest of an index.")
    if manifest.get("version") != VERSION:
        raise IndexFileError(
            f"{where} has format version {manifest.get('version')}, this Ramify reads {VERSION}.",
            hint="Build the index again from its documents, or use the Ramify that saved it.",
        )
    if not {"files", "settings"} <= manifest.keys():
        raise IndexFileError(f"{where}: {MANIFEST} is broken: no files or settings.")
    result: dict[str, Any] = manifest
    return result


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
