"""Documents: what goes into an index, from Python objects or from files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ramify.retrieval.contract import Passage, RetrievalError

SUFFIXES = (".txt", ".md", ".jsonl")


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an id; `meta` holds what filters ask for (JSON values, not to be changed)."""

    id: str
    text: str
    title: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the content without the id: two documents with the same one are equal."""
        content = [self.title, self.text, self.meta]
        try:
            line = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RetrievalError(
                f"document {self.id!r}: meta holds what JSON cannot: {error}.",
                hint="Use strings, finite numbers, booleans, None, lists and dicts.",
            ) from error
        return hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()


def documents_of(items: Iterable[object]) -> list[Document]:
    """Documents from strings, (id, text) pairs, mappings with a "text", Passages or Documents.

    A string without an id is named after its content, so that adding it twice adds it once. Other
    fields of a mapping than id, text, title and meta become meta. Raises RetrievalError.
    """
    if isinstance(items, (str, bytes, Mapping)):
        raise RetrievalError(
            f"documents must be a list, got one {type(items).__name__}.", hint="Put it in [ ]."
        )
    return [_document(item, f"document number {at}") for at, item in enumerate(items, 1)]


def _document(item: object, where: str) -> Document:
    if isinstance(item, Document):
        return item
    if isinstance(item, Passage):
        return Document(item.id, item.text, item.title, dict(item.meta))
    if isinstance(item, str):
        return Document(_name_of(item), item)
    if isinstance(item, Mapping):
        return _from_mapping(item, where)
    if isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return Document(*item)
    raise RetrievalError(
        f"{where} is a {type(item).__name__}.",
        hint='Use a string, (id, text), or a mapping with "text".',
    )


def _from_mapping(row: Mapping[Any, Any], where: str) -> Document:
    text, title, meta = row.get("text"), row.get("title", ""), row.get("meta", {})
    if not isinstance(text, str):
        raise RetrievalError(f'{where} has no string under "text".', hint=f"Keys: {list(row)}.")
    if not isinstance(title, str) or not isinstance(meta, Mapping):
        raise RetrievalError(f'{where}: "title" must be a string and "meta" a mapping.')
    extra = {key: row[key] for key in row if key not in ("id", "text", "title", "meta")}
    return Document(str(row.get("id", _name_of(text))), text, title, {**meta, **extra})


def _name_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def read_documents(path: Path) -> list[Document]:
    """The documents of a file, or of all .txt, .md and .jsonl files under a folder.

    Ids are paths inside the folder; a row of a .jsonl file has its own "id" or `file:line`.
    Hidden files and folders are left out. Raises RetrievalError naming the file and line.
    """
    if path.is_file():
        files, root = [path], path.parent
    elif path.is_dir():
        files, root = sorted(_files(path)), path
    else:
        raise RetrievalError(f"no file or folder {str(path)!r} to make an index of.")
    found = [document for file in files for document in _read(file, file.relative_to(root))]
    if not found:
        raise RetrievalError(
            f"no documents in {str(path)!r}.", hint=f"Read are: {', '.join(SUFFIXES)}."
        )
    return found


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        inside = file.relative_to(folder).parts
        if file.suffix in SUFFIXES and file.is_file() and not any(p[0] == "." for p in inside):
            yield file


def _read(file: Path, name: Path) -> Iterator[Document]:
    if file.suffix not in SUFFIXES:
        raise RetrievalError(f"cannot read {str(file)!r}.", hint=f"Read: {', '.join(SUFFIXES)}.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RetrievalError(
            f"{str(file)!r} is not UTF-8 (byte {error.start}).", hint="Convert it, or move it away."
        ) from error
    if file.suffix == ".jsonl":
        yield from _rows(text, file, name)
        return
    title = name.stem.replace("_", " ").replace("-", " ")
    if file.suffix == ".md":
        heads = (line[2:].strip() for line in text.splitlines() if line.startswith("# "))
        title = next(heads, title)
    yield Document(name.as_posix(), text, title, {"file": name.as_posix()})


def _rows(text: str, file: Path, name: Path) -> Iterator[Document]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{str(file)!r}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise RetrievalError(f"{where} is not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise RetrievalError(f'{where} is not an object with a "text".')
        yield _from_mapping({"id": f"{name.as_posix()}:{number}", **row}, where)
