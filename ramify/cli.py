"""The command line: run, batch, explain and draw programs, and the demo.

Exit codes: 0 done, 1 the program or some rows failed, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ramify.dsl import BatchInterruptedError, Program
from ramify.errors import ProgramError, RamifyError
from ramify.planner import Plan

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
)

ProgramName = Annotated[str, typer.Argument(metavar="FILE.py:PROGRAM", help="Which program.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="An argument; JSON, or else text."),
]
BackendName = Annotated[
    str | None,
    typer.Option("--backend", "-b", help='"radix:PATH", "demo", "fake:"; or RAMIFY_BACKEND.'),
]


def _version(wanted: bool) -> None:
    if wanted:
        from ramify import __version__

        typer.echo(f"ramify {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    """An optimizing compiler and runtime for LLM programs."""


def load_program(name: str) -> Program:
    """The program of "FILE.py:PROGRAM"; the part after the colon may be left out if there is one.

    Raises ProgramError that says what the file has, or why Python cannot read it.
    """
    path, _, wanted = name.partition(":")
    file = Path(path)
    if not file.is_file():
        raise ProgramError(f"there is no file {path!r}.", hint="Write FILE.py:PROGRAM.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ProgramError(f"{path!r} is not a Python file.", hint="Write FILE.py:PROGRAM.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        if Path(error.filename or file).resolve() != file.resolve():
            raise  # in something that the file imports
        line = f", line {error.lineno}," if error.lineno else ""
        raise ProgramError(f"{path}{line} is not Python: {error.msg}.") from error
    found = {key: item for key, item in vars(module).items() if isinstance(item, Program)}
    own = {key: p for key, p in found.items() if p.function.__module__ == file.stem}
    if wanted in found:
        return found[wanted]
    if not wanted and len(own) == 1:
        return next(iter(own.values()))
    raise ProgramError(
        f"{path} has no program {wanted!r}." if wanted else f"{path} has {len(own)} programs.",
        hint=f"Its programs: {', '.join(found) or 'none; mark one with @rf.program'}.",
    )


def arguments(settings: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE settings as arguments; values are JSON where they parse as JSON."""
    found: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ProgramError(f"--set {setting!r} has no '='.", hint="Write --set NAME=VALUE.")
        if name in found:
            raise ProgramError(f"--set {name} is given twice.", hint="Give one of them.")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


@app.command()
def run(
    program: ProgramName,
    settings: Settings = None,
    backend: BackendName = None,
    explain: Annotated[bool, typer.Option(help="Show the plan and what happened.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a program once and print its answer."""
    result = load_program(program).run(backend=backend, **arguments(settings))
    if as_json:
        from pydantic_core import to_jsonable_python

        from ramify.runtime.batch_file import one_line

        line = {"text": result.text, "variables": dict(result.variables)}
        typer.echo(one_line(to_jsonable_python(line, fallback=str)))
    else:
        typer.echo(result.text.encode("utf-8", "replace").decode())
    if explain:
        typer.echo(f"\n{result.explain()}", err=True)


@app.command()
def batch(
    program: ProgramName,
    rows: Annotated[str, typer.Argument(metavar="IN.jsonl", help='Rows; "-" reads stdin.')],
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="Results, appended.")],
    backend: BackendName = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Rows at once.")] = 64,
    quiet: Annotated[bool, typer.Option(help="No progress line.")] = False,
    ray: Annotated[bool, typer.Option(help="Run on Ray; rows may be Parquet.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Actors, with --ray.")] = 2,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of an actor, with --ray.")] = 0.0,
) -> None:
    """Run a program over rows; run it again to go on where it stopped."""
    from ramify.runtime.ray import RayOptions, read_rows, write_table

    if not ray and ".parquet" in (Path(rows).suffix, out.suffix):
        raise ProgramError("tables of Parquet are read and written by Ray.", hint="Add --ray.")
    table = out if out.suffix == ".parquet" else None
    if table is not None:
        out = out.with_suffix(".jsonl")
    try:
        results = load_program(program).run_batch(
            read_rows(rows) if ray and rows != "-" else _rows(rows),
            backend=backend,
            concurrency=concurrency,
            out=out,
            progress=not quiet,
            executor="ray" if ray else "local",
            ray=RayOptions(workers=workers, num_gpus=gpus),
        )
    except BatchInterruptedError as interrupted:
        typer.echo(f"{interrupted}; run the same command to go on", err=True)
        raise typer.Exit(130) from None
    if table is not None:
        write_table(out, table)
    for number, failure in results.failed.items():
        typer.echo(f"row {number}: {failure}", err=True)
    usage = results.usage
    count = f"{len(results)} row" + "s" * (len(results) != 1)
    typer.echo(
        f"{count} run, {len(results.failed)} failed; {usage.computed_tokens} prompt "
        f"tokens computed, {usage.cached_tokens} cached, {usage.output_tokens} written",
        err=True,
    )
    raise typer.Exit(1 if results.failed else 0)


def _rows(path: str) -> Iterator[Mapping[str, Any]]:
    try:
        lines = sys.stdin if path == "-" else Path(path).open(encoding="utf-8-sig")  # noqa: SIM115
    except OSError as error:
        raise ProgramError(f"{path!r} cannot be read: {error.strerror}.") from error
    with lines:
        for number, line in enumerate(_utf8(lines, path), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.strip())
            except json.JSONDecodeError as error:
                raise ProgramError(
                    f"{path}, line {number}, is not JSON: {error.msg} (column {error.colno})."
                ) from error
            if not isinstance(row, dict):
                raise ProgramError(
                    f"{path}, line {number}, is not a JSON object.",
                    hint="One object of arguments a line.",
                )
            yield row


def _utf8(lines: Iterable[str], path: str) -> Iterator[str]:
    """The lines of a text; raises ProgramError where it is none."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ProgramError(
            f"{path} is not a text in UTF-8: {error.reason}.", hint="One JSON object a line."
        ) from error


@app.command()
def explain(program: ProgramName, settings: Settings = None, backend: BackendName = None) -> None:
    """Show the plan of a program without running it."""
    plan = load_program(program).compile(backend=backend, **arguments(settings))
    typer.echo(plan.explain())


@app.command()
def draw(
    program: ProgramName,
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".html, .svg, .mmd or .json")],
    settings: Settings = None,
    backend: BackendName = None,
) -> None:
    """Draw the plan of a program into a file; the ending says how."""
    from ramify.planner.draw import svg
    from ramify.planner.html import html_of

    kinds: dict[str, Callable[[Plan], str]] = {
        ".html": html_of,
        ".svg": svg,
        ".mmd": Plan.to_mermaid,
        ".json": lambda plan: json.dumps(plan.to_json(), indent=1),
    }
    if out.suffix not in kinds:
        raise ProgramError(
            f"{out.suffix or str(out)!r} is not a kind of drawing.",
            hint=f"Choose one of {', '.join(kinds)}.",
        )
    plan = load_program(program).compile(backend=backend, **arguments(settings))
    try:
        out.write_text(kinds[out.suffix](plan), encoding="utf-8")
    except OSError as error:
        raise ProgramError(f"{str(out)!r} cannot be written: {error.strerror}.") from error


@app.command()
def demo(
    question: Annotated[str | None, typer.Argument(help="A question about the towns.")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer questions in the comparison.")] = False,
) -> None:
    """Ask about a set of documents: the plan, the answers as they come, and the comparison."""
    from ramify.demo.show import show

    show(question, quick=quick)


def main() -> None:
    """The console script."""
    try:
        app(standalone_mode=True)
    except RamifyError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2 if isinstance(error, ProgramError) else 1) from None


if __name__ == "__main__":
    main()
