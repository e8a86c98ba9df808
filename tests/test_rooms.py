"""Which room may import which: the arrows of docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ramify"

# What a room imports; inside a function counts, too. Everything may use `errors`.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "ir": set(),
    "backend": {"ir"},
    "planner": {"ir", "backend"},  # of the backend its contract alone, see below
    "runtime": {"ir", "backend", "planner"},
    "retrieval": set(),
    "compressors": {"ir", "backend", "retrieval"},  # gist: vectors, which the engine writes
    "router": {"retrieval"},
    "dsl": {"ir", "backend", "planner", "runtime", "retrieval", "compressors", "router"},
    "demo": {"ir", "backend", "dsl", "retrieval", "runtime", "ramify"},
    "cli": {"dsl", "planner", "runtime", "demo", "ramify"},
}
ENGINES = ("radix", "openai", "vllm", "fleet", "fake")


def imports(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every module of the package that is imported under a folder, or by a file."""
    for file in [folder] if folder.is_file() else sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            yield from ((file, name) for name in names if name.split(".")[0] == "ramify")


def place(room: str) -> Path:
    return PACKAGE / room if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py"


def test_every_room_is_known() -> None:
    found = {p.stem for p in PACKAGE.iterdir() if p.is_dir() or p.suffix == ".py"}
    assert found - {"__init__", "__pycache__", "py"} == set(ARROWS)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_what_its_arrows_point_to(room: str) -> None:
    for file, name in imports(place(room)):
        parts = name.split(".")
        target = parts[1] if len(parts) > 1 else "ramify"
        assert target in ARROWS[room] | {room, "errors"}, f"{file}: {name}"


def test_the_planner_reads_the_contract_of_backends_and_nothing_else() -> None:
    read = {name for _, name in imports(place("planner")) if name.startswith("ramify.backend")}
    assert read == {"ramify.backend.contract"}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_knows_no_other_one(engine: str) -> None:
    others = tuple(f"ramify.backend.{other}" for other in ENGINES if other != engine)
    for file, name in imports(PACKAGE / "backend" / engine):
        assert not name.startswith(others), f"{file}: {name}"
