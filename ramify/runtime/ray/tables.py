"""Rows from JSONL and Parquet, and results as Parquet, through Ray Data."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ramify.errors import ProgramError


def _data() -> Any:
    try:
        return importlib.import_module("ray.data")
    except ImportError as error:
        raise ProgramError("Ray Data is not installed.", hint="pip install 'ramify[ray]'.") from (
            error
        )


def read_rows(path: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a JSONL or Parquet file, or of a folder of them, streamed.

    Raises ProgramError for other kinds of files, or where there is none.
    """
    place = Path(path)
    if "://" not in path and not place.exists():
        raise ProgramError(f"{path!r} does not exist.")
    kind = place.suffix or next((one.suffix for one in sorted(place.glob("*.*"))), "")
    readers = {".parquet": "read_parquet", ".jsonl": "read_json", ".json": "read_json"}
    if kind not in readers:
        raise ProgramError(f"{path!r} is neither JSONL nor Parquet.", hint="Name it .jsonl.")
    options = {"lines": True} if kind != ".parquet" else {}
    found = getattr(_data(), readers[kind])(path, **options)
    for row in found.iter_rows():
        yield dict(row)


def write_table(lines: Path, folder: Path) -> None:
    """The finished rows of a batch (JSONL) as a folder of Parquet files, in the lines' order."""
    _data().read_json(str(lines), lines=True).write_parquet(str(folder))
