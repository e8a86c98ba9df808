"""Rows from JSONL and Parquet, and results as Parquet, by Arrow.

Not by Ray Data: its tasks ask for CPUs, and the actors that wait for the rows may hold them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ramify.errors import ProgramError

_KINDS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}


def _arrow(module: str) -> Any:
    try:
        return importlib.import_module(f"pyarrow.{module}")
    except ImportError as error:
        raise ProgramError("Arrow is not installed.", hint="pip install 'ramify[ray]'.") from error


def read_rows(path: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a JSONL or Parquet file, or of a folder of them, streamed.

    Raises ProgramError for other kinds of files, or where there is none.
    """
    place = Path(path)
    if "://" not in path and not place.exists():
        raise ProgramError(f"{path!r} does not exist.")
    kind = place.suffix or next((one.suffix for one in sorted(place.glob("*.*"))), "")
    if kind not in _KINDS:
        raise ProgramError(f"{path!r} is neither JSONL nor Parquet.", hint="Name it .jsonl.")
    for batch in _arrow("dataset").dataset(path, format=_KINDS[kind]).to_batches():
        yield from batch.to_pylist()


def write_table(lines: Path, folder: Path) -> None:
    """The finished rows of a batch (JSONL) as a folder of Parquet files, in the lines' order."""
    dataset = _arrow("dataset")
    dataset.write_dataset(
        dataset.dataset(str(lines), format="json"),
        str(folder),
        format="parquet",
        existing_data_behavior="overwrite_or_ignore",
    )
