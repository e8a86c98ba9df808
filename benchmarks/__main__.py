"""The command line of the benchmarks: `python -m benchmarks` lists them."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import os
import pkgutil
import sys
import threading
import traceback
from pathlib import Path

from benchmarks.harness import DEFAULT_DATA, MissingDataError, Options, Report
from benchmarks.harness.machine import Watch, describe

HERE = Path(__file__).parent


def names() -> list[str]:
    """The modules directly in this folder."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules([str(HERE)])
        if not module.ispkg and not module.name.startswith("_")
    )


def about(name: str) -> str:
    """The first line of a benchmark's docstring, read without importing it."""
    tree = ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def measure(name: str, options: Options) -> Report:
    """Run one benchmark, with a description of the machine and of what else kept it busy."""
    machine = describe()
    with Watch() as watch:
        report: Report = importlib.import_module(f"benchmarks.{name}").run(options)
    machine |= {"command": options.command(name), **watch.found()}
    report.machine = machine | report.machine
    if watch.warning:
        print(f"warning: {watch.warning}", file=sys.stderr)
    return report


def parse(arguments: list[str]) -> tuple[str, bool, Options]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", help="a benchmark, or `all`; without it, list them")
    parser.add_argument("--quick", action="store_true", help="the short form, a minute or two")
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="folder of the evaluation data sets"
    )
    parser.add_argument("--repeats", type=int, help="timed runs of each contender, at least 5")
    found = parser.parse_args(arguments)
    if found.repeats is not None and found.repeats < 5:
        parser.error("--repeats must be at least 5: fewer say nothing about the spread.")
    if found.name == "all" and found.json:
        parser.error("--json prints one object: name one benchmark.")
    if found.name not in (None, "all", *names()):
        parser.error(f"no benchmark {found.name!r}; there are: {', '.join(names())}.")
    options = Options(quick=found.quick, data=found.data, repeats=found.repeats)
    return found.name or "", found.json, options


def main(arguments: list[str]) -> int:
    name, as_json, options = parse(arguments)
    if not name:
        width = max(map(len, names()))
        print("\n".join(f"{each:{width}}  {about(each)}" for each in names()))
        return 0
    for each in names() if name == "all" else [name]:
        try:
            # libraries print; standard output is the report's alone
            with contextlib.redirect_stdout(sys.stderr):
                report = measure(each, options)
        except MissingDataError as error:
            print(f"{each}: skipped: {error}", file=sys.stderr)
            if name != "all":
                return 2
            continue
        print(report.json() if as_json else report.table(), flush=True)
    return 0


def leave(status: int, patience: float = 5.0) -> None:
    """End the process, also where a library has left a thread behind that never ends: the
    interpreter would wait for it. What is written is complete by then."""
    here = threading.main_thread()
    for thread in threading.enumerate():
        if thread is not here and not thread.daemon:
            thread.join(patience)
            if thread.is_alive():
                print(f"warning: thread {thread.name} does not end: left behind", file=sys.stderr)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    try:
        found = main(sys.argv[1:])
    except Exception:  # told as ever; `leave` has to end the process also then
        traceback.print_exc()
        found = 1
    leave(found)
