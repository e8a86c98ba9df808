"""Results of a batch on disk: one JSON object a line, appended as rows finish.

A batch that was interrupted goes on where it stopped: rows whose id is in the file are done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_jsonable_python

from ramify.errors import ProgramError
from ramify.runtime.result import Result


def row_id(index: int, row: Mapping[str, Any]) -> str:
    """The `custom_id` or `id` of a row, or its number."""
    return str(row.get("custom_id", row.get("id", index)))


def fingerprint(row: Mapping[str, Any]) -> str:
    """A short hash of a row's arguments: a changed row is not taken for the finished one."""
    text = json.dumps(to_jsonable_python(row, fallback=repr), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class BatchFile:
    """Finished rows by id, and a place to append more. Failed rows are tried again."""

    def __init__(self, path: str | Path, program: str) -> None:
        self.path = Path(path)
        self.program = program
        self.finished: dict[str, str] = {}  # id -> fingerprint of the row
        self._file: IO[str] | None = None

    def __enter__(self) -> BatchFile:
        whole = 0
        if self.path.exists():
            whole = self._read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+", encoding="utf-8")
        self._file.truncate(whole)  # a line that a killed process left half written
        return self

    def _read(self) -> int:
        """Take in the finished rows; returns the length of the file up to its last whole line."""
        whole = 0
        with self.path.open("rb") as lines:
            for number, raw in enumerate(lines, 1):
                if not raw.endswith(b"\n"):
                    break
                try:
                    line = json.loads(raw)
                    program, row, mark = line["program"], str(line["id"]), str(line["row"])
                except (ValueError, KeyError, TypeError) as error:
                    raise ProgramError(
                        f"{self.path}, line {number}, is not a row of a batch.",
                        hint="Name another output file, or move this one away.",
                    ) from error
                if program != self.program:
                    raise ProgramError(
                        f"{self.path} holds rows of program {program!r}.",
                        hint="Name another output file.",
                    )
                if line.get("error") is None:
                    self.finished[row] = mark
                whole += len(raw)
        return whole

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def has(self, row: str, mark: str) -> bool:
        """Whether the row is finished with these very arguments."""
        return self.finished.get(row) == mark

    def add(self, row: str, mark: str, result: Result) -> None:
        """Append a finished row."""
        assert self._file is not None, "BatchFile is used as a context manager"
        failed = result.failure
        line = {
            "id": row,
            "program": self.program,
            "row": mark,
            "text": None if failed else result.text,
            "value": None if failed else to_jsonable_python(result.value, fallback=str),
            "variables": {} if failed else to_jsonable_python(result.variables, fallback=str),
            "error": str(failed) if failed else None,
            "prompt_tokens": result.usage.prompt_tokens,
            "cached_tokens": result.usage.cached_tokens,
            "output_tokens": result.usage.output_tokens,
            "seconds": round(result.seconds, 4),
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
