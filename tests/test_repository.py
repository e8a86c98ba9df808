"""The repository's own promises: pins, commands, what may import what, what may not stand in it."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ramify

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ramify"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
TARGETS = (
    "demo", "test", "test-vllm", "test-llama", "test-ray", "lint", "type",
    "bench", "bench-quick", "bench-peers", "docs", "clean",
)  # fmt: skip
SKIPPED = {".git", "build", "dist", "node_modules"}


def text_of(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


def sources(folder: Path = PACKAGE) -> Iterator[tuple[Path, ast.Module]]:
    """Every Python file of the package with its syntax tree."""
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file names in its imports, lazy ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def pins() -> dict[str, str]:
    lines = [line for line in text_of("constraints.txt").splitlines() if not line.startswith("#")]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines)
    return {canonicalize_name(name): version for name, version in found.items()}


# installing


def test_version_is_said_once_and_the_same() -> None:
    assert ramify.__version__ == PROJECT["version"]


def test_every_pin_is_exact_and_has_no_local_part() -> None:
    for name, version in pins().items():
        assert re.fullmatch(r"[0-9][0-9A-Za-z.]*", version), f"{name}=={version}"


@pytest.mark.parametrize("extra", ["", "engine", "retrieval", "dev"])
def test_what_make_installs_is_pinned(extra: str) -> None:
    needed = [Requirement(r) for r in (EXTRAS[extra] if extra else PROJECT["dependencies"])]
    known = pins()
    for requirement in needed:
        version = known.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} has no line in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement}, but it is pinned {version}"
        if requirement.name != "torch":  # another build may be chosen with TORCH=
            assert metadata.version(requirement.name) == version


def test_all_is_every_extra_but_the_tools() -> None:
    (everything,) = (Requirement(r) for r in EXTRAS["all"])
    assert everything.name == "ramify"
    assert everything.extras == set(EXTRAS) - {"all", "dev"}


def test_the_package_is_typed_and_carries_its_data() -> None:
    for name in ("py.typed", "demo/towns.jsonl", "demo/questions.jsonl"):
        assert (PACKAGE / name).is_file(), name


# commands


def test_make_has_every_target() -> None:
    makefile = text_of("Makefile")
    for target in TARGETS:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) == set(TARGETS)


def test_the_readme_names_only_targets_that_there_are() -> None:
    named = set(re.findall(r"`?make ([a-z-]+)`?", text_of("README.md")))
    assert {"demo", "test"} <= named <= set(TARGETS)


def test_the_readme_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", text_of("README.md"), re.DOTALL | re.MULTILINE)
    assert "radix:PATH-OR-HUB-NAME" in block
    exec(block.replace("radix:PATH-OR-HUB-NAME", "fake:"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert printed.count("tip") >= 2  # a line of the plan per branch


def test_the_command_line_page_is_up_to_date(tmp_path: Path) -> None:
    recipe = re.search(
        r"^docs:.*\n\t@\$\(RUN\) (.*) --output (\S+)$", text_of("Makefile"), re.MULTILINE
    )
    written = tmp_path / "cli.md"
    command = [sys.executable, *shlex.split(recipe[1]), "--output", str(written)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    hint = "run `make docs`"
    assert (ROOT / recipe[2]).is_file(), hint
    assert written.read_text(encoding="utf-8") == text_of(recipe[2]), hint


def test_ci_runs_what_the_readme_says_and_the_checks() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    steps = re.findall(r"^step make (\S+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert steps == ["test", "lint", "type", "demo", "test-vllm", "test-ray"]
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_fresh_machine_installs_torch_first_and_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a path with spaces"
    folder.mkdir()
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    dry = subprocess.run(
        ["make", "--dry-run", "test", f"PYTHON={sys.executable}"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    installs = [line for line in dry.stdout.splitlines() if " install " in line]
    assert len(installs) == 2
    assert installs[0].endswith('"torch==2.13.0"')
    assert installs[1].endswith('-e ".[engine,retrieval,dev]"')
    assert all("-c .venv/constraints.txt" in line for line in installs)
    assert f"torch=={pins()['torch']}" == "torch==2.13.0"


# what may import what

# (its own rooms: test_rooms.py)

HEAVY = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "faiss", "sentence_transformers"}:
            raise RuntimeError(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
import ramify
wrong = []
for module in pkgutil.walk_packages(ramify.__path__, "ramify."):
    if module.name.startswith("ramify.backend.radix."):
        continue
    try:
        importlib.import_module(module.name)
    except RuntimeError as error:
        wrong.append(f"{module.name}: {error}")
print("\\n".join(wrong))
"""


def test_nothing_but_the_engine_imports_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAVY], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == ""


# safety and plain manners


def test_no_pickle_and_no_code_from_models_unasked() -> None:
    for path, tree in sources():
        where = path.relative_to(ROOT)
        assert not {"pickle", "dill", "joblib", "shelve"} & set(imported(tree)), where
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                constant = isinstance(node.value, ast.Constant)
                assert not (constant and node.value.value), where


def written_files() -> Iterator[Path]:
    """The text files of the repository, without what tools made."""
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in parts)
        if hidden or SKIPPED & set(parts) or not path.is_file():
            continue
        if path.suffix in {".py", ".md", ".toml", ".txt", ".ipynb", ".json", ""}:
            yield path


def test_no_file_says_where_it_was_made() -> None:
    place = re.compile(r"(?<![\w.])/(?:work|root|home)/\w+")
    for path in written_files():
        found = place.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(ROOT)}: {found and found[0]}"


def test_nothing_prints_but_the_command_line_and_the_demo() -> None:
    for path, tree in sources():
        where = path.relative_to(PACKAGE)
        if where.parts[0] in {"cli.py", "demo"}:
            continue
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        assert not any(isinstance(f, ast.Name) and f.id == "print" for f in calls), where
