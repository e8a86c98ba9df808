"""The rows of a batch: from mappings to tasks, and the results in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramify.backend.contract import Usage
from ramify.errors import ProgramError, Where
from ramify.ir import Graph
from ramify.runtime import (
    BackendLike,
    Batch,
    BatchFile,
    BatchOptions,
    Policy,
    Result,
    Task,
    fingerprint,
    opened,
    row_id,
)
from ramify.runtime.ray import RayOptions, run_on_ray

if TYPE_CHECKING:
    from ramify.dsl.program import Program


class BatchResult(Sequence[Result]):
    """Results in the order of the rows; `by_row` maps row numbers to them.

    After an interrupt, or with rows that were already in the output file, rows may be missing.
    """

    def __init__(self, by_row: Mapping[int, Result]) -> None:
        self.by_row = dict(sorted(by_row.items()))
        self._results = list(self.by_row.values())

    def __getitem__(self, key: Any) -> Any:
        return self._results[key]

    def __len__(self) -> int:
        return len(self._results)

    @property
    def failed(self) -> dict[int, Exception]:
        """Row numbers and why they failed."""
        return {i: r.failure for i, r in self.by_row.items() if r.failure is not None}

    @property
    def usage(self) -> Usage:
        """Tokens of all rows."""
        return sum((result.usage for result in self._results), Usage())

    def __repr__(self) -> str:
        return f"<{len(self)} results, {len(self.failed)} failed>"


class BatchInterruptedError(KeyboardInterrupt):
    """A batch was interrupted; `results` has the rows that were finished."""

    def __init__(self, program: str, results: BatchResult) -> None:
        count = f"{len(results)} row" + "s" * (len(results) != 1)
        super().__init__(f"batch of {program!r} interrupted with {count} finished")
        self.results = results


class Rows:
    """The rows of a batch with their output: numbers, ids, what is finished, where results go."""

    def __init__(
        self,
        program: Program,
        rows: Iterable[Mapping[str, Any]],
        results: dict[int, Result],
        out: str | Path | None,
        progress: bool,
    ) -> None:
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
            raise ProgramError(
                f"rows are a {type(rows).__name__}, not a list of mappings.",
                hint="Give one mapping of arguments a row: [{...}, {...}].",
                where=Where(program.name),
            )
        self._rows = rows
        self._results = results
        self._marks: dict[int, tuple[str, str]] = {}
        self._stack = ExitStack()
        self._file = BatchFile(out, program.name) if out is not None else None
        self._bar = _Progress(program.name) if progress else None

    def __enter__(self) -> Rows:
        if self._file is not None:
            self._stack.enter_context(self._file)
        if self._bar is not None:
            self._stack.enter_context(self._bar)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The rows that are not finished, with their numbers."""
        for number, row in enumerate(self._rows):
            if self._file is not None:
                mark = (row_id(number, row), fingerprint(row))
                if self._file.has(*mark):
                    continue
                self._marks[number] = mark
            yield number, row

    def done(self, number: int, result: Result) -> None:
        """Keep a result, and write it down."""
        self._results[number] = result
        if self._file is not None:
            self._file.add(*self._marks.pop(number), result)
        if self._bar is not None:
            self._bar.advance(result)


async def arun_rows(
    program: Program,
    rows: Iterable[Mapping[str, Any]],
    backend: BackendLike,
    policy: Policy,
    options: BatchOptions,
    results: dict[int, Result],
    out: str | Path | None,
    progress: bool,
) -> None:
    """Run all rows; `results` fills up as they finish."""
    backends = await opened(backend)
    numbers: list[int] = []  # number of the row behind each task
    with Rows(program, rows, results, out, progress) as given:

        def tasks() -> Iterator[Task]:
            for number, row in given:
                numbers.append(number)
                yield _task(program, row, number)

        def done(index: int, result: Result) -> None:
            given.done(numbers[index], result)

        await Batch(backends, policy, options, done).run(tasks())


def run_rows_on_ray(
    program: Program,
    rows: Iterable[Mapping[str, Any]],
    backend: BackendLike,
    policy: Policy,
    options: BatchOptions,
    results: dict[int, Result],
    out: str | Path | None,
    progress: bool,
    ray: RayOptions,
) -> None:
    """The same on actors of Ray; blocks until all rows are done."""
    with Rows(program, rows, results, out, progress) as given:
        run_on_ray(
            program,
            given,
            backend,
            given.done,
            policy=policy,
            concurrency=options.concurrency,
            options=ray,
        )


def _task(program: Program, row: Mapping[str, Any], number: int) -> Task:
    """The row's task; one that fails if the row does not fit the program."""
    try:
        return program.task((), _arguments(program, row, number))
    except ProgramError as error:
        reason = error

    def refuse(_: object) -> Any:
        raise reason

    return Task(program.name, Graph(program.name), refuse)


def _arguments(program: Program, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise ProgramError(
            f"row {number} is a {type(row).__name__}, not a mapping of arguments.",
            hint=f"Write it as {{'{next(iter(program.arguments()), 'argument')}': ...}}.",
            where=Where(program.name),
        )
    names = program.arguments()
    extra = [key for key in row if key not in names and key not in ("id", "custom_id")]
    if extra and not program.takes_any:
        raise ProgramError(
            f"row {number} has {extra[0]!r}, which the program does not take.",
            hint=f"It takes: {', '.join(names)}.",
            where=Where(program.name),
        )
    return {key: item for key, item in row.items() if key in names or program.takes_any}


class _Progress:
    """A progress line: rows done and tokens computed."""

    def __init__(self, name: str) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.name = name
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}: {task.completed:.0f} rows"),
            TextColumn("{task.fields[tokens]} tokens"),
            TimeElapsedColumn(),
        )
        self.tokens = 0
        self.task = self.bar.add_task(name, total=None, tokens=0)

    def __enter__(self) -> _Progress:
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()

    def advance(self, result: Result) -> None:
        self.tokens += result.usage.computed_tokens + result.usage.output_tokens
        self.bar.update(self.task, advance=1, tokens=self.tokens)
