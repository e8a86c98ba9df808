"""Results of a batch on disk: one JSON object a line, appended as rows finish.

A batch that was interrupted goes on where it stopped: rows whose id is in the file are done.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_jsonable_python

from ramify.errors import ProgramError
from ramify.runtime.result import Result

_ID = re.compile(rb'\{"id": "(?:[^"\\]|\\.)*')  # a line that `add` writes begins so
_SURROGATE = re.compile("[\ud800-\udfff]")


def row_id(index: int, row: Any) -> str:
    """The `custom_id` or `id` of a row, or its number."""
    named = row if isinstance(row, Mapping) else {}
    return str(named.get("custom_id", named.get("id", index)))


def fingerprint(row: Any) -> str:
    """A short hash of a row's arguments: a changed row is not taken for the finished one."""
    text = json.dumps(to_jsonable_python(row, fallback=repr), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class BatchFile:
    """Finished rows by id, and a place to append more. Failed rows are tried again.

    Raises ProgramError for a file that cannot be written, or holds anything else: nothing that a
    batch did not write is touched.
    """

    def __init__(self, path: str | Path, program: str) -> None:
        self.path = Path(path)
        self.program = program
        self.finished: set[tuple[str, str]] = set()  # id and fingerprint of a row
        self._file: IO[str] | None = None

    def __enter__(self) -> BatchFile:
        try:
            whole = self._read() if self.path.exists() else 0
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise ProgramError(
                f"the output file {str(self.path)!r} cannot be opened: {error.strerror}.",
                hint="Name another one.",
            ) from error
        self._file.truncate(whole)  # a line that a killed process left half written
        return self

    def _read(self) -> int:
        """Take in the finished rows; returns the length of the file up to its last whole line."""
        whole = 0
        with self.path.open("rb") as lines:
            for number, raw in enumerate(lines, 1):
                if not raw.endswith(b"\n"):
                    if not self._half_written(raw):
                        raise self._foreign(number)
                    break
                try:
                    line = json.loads(raw)
                    program, row, mark = line["program"], str(line["id"]), str(line["row"])
                except (ValueError, KeyError, TypeError) as error:
                    raise self._foreign(number) from error
                if program != self.program:
                    raise ProgramError(
                        f"{self.path} holds rows of program {program!r}.",
                        hint="Name another output file.",
                    )
                if line.get("error") is None:
                    self.finished.add((row, mark))
                whole += len(raw)
        return whole

    def _half_written(self, raw: bytes) -> bool:
        """Whether a line without its end is the beginning of one of ours."""
        begun = _ID.match(raw)
        if begun is None:
            return b'{"id": "'.startswith(raw)
        rest, ours = raw[begun.end() :], f'", "program": {json.dumps(self.program)}'.encode()
        return rest == b"\\" or rest.startswith(ours) or ours.startswith(rest)

    def _foreign(self, number: int) -> ProgramError:
        return ProgramError(
            f"{self.path}, line {number}, is not a row of a batch.",
            hint="Name another output file, or move this one away.",
        )

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def has(self, row: str, mark: str) -> bool:
        """Whether the row is finished with these very arguments."""
        return (row, mark) in self.finished

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
        self._file.write(one_line(line) + "\n")
        self._file.flush()


def one_line(data: Any) -> str:
    """Plain data as JSON that UTF-8 can hold: half of a surrogate pair is written as its escape."""
    text = json.dumps(data, ensure_ascii=False)
    return json.dumps(data) if _SURROGATE.search(text) else text
