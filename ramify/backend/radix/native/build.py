"""The compiled library: built once per machine, compiler and source; kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
VERSION = 3  # of the C interface, see body.cpp
_FLAGS = (
    "-O3", "-march=native", "-std=c++17", "-fopenmp", "-fPIC", "-shared", "-fno-math-errno", "-w",
)  # fmt: skip
_SECONDS = 300.0  # for a compiler that hangs
_log = logging.getLogger(__name__)


class NoLibraryError(Exception):
    """Why there is no compiled library; the engine goes on without."""


@cache
def library() -> ctypes.CDLL:
    """The library, built if need be (a few seconds, once). Raises NoLibraryError."""
    compiler = _compiler()
    key = _key(compiler)
    path = _folder() / f"body-{key}.so"
    if not path.is_file():
        _build(compiler, path)
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise NoLibraryError(f"the compiled library cannot be loaded: {error}") from error
    for name, result, arguments in (
        ("ramify_version", ctypes.c_int64, ()),
        ("ramify_start", ctypes.c_int64, ()),
        ("ramify_pack", None, (ctypes.c_void_p, *3 * (ctypes.c_int64,), ctypes.c_void_p)),
        ("ramify_pack8", None, (ctypes.c_void_p, *3 * (ctypes.c_int64,), ctypes.c_void_p)),
        ("ramify_large_pages", None, (ctypes.c_void_p, ctypes.c_int64)),
        ("ramify_body", ctypes.c_void_p, 3 * (ctypes.c_void_p,)),
        ("ramify_free", None, (ctypes.c_void_p,)),
        ("ramify_run", None, 2 * (ctypes.c_void_p,)),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    if found.ramify_version() != VERSION:
        raise NoLibraryError(f"{path.name} has another interface: delete it.")
    found.ramify_start()
    return found


def _compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in (wanted,) if wanted else ("g++", "c++", "clang++"):
        found = shutil.which(name)
        if found:
            return found
    raise NoLibraryError(f"there is no C++ compiler ({wanted or 'g++, c++ or clang++'}).")


def _key(compiler: str) -> str:
    """A name for what the library depends on: source, flags, compiler and processor."""
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, timeout=_SECONDS, check=False
    )
    parts = [version.stdout, " ".join(_FLAGS).encode(), _processor()]
    parts += [path.read_bytes() for path in sorted(HERE.iterdir()) if path.suffix in (".h", ".cpp")]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> bytes:
    """What -march=native depends on: a home folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().split(b"\n\n")[0].split(b"\n")
    except OSError:  # not Linux
        return os.uname().machine.encode()
    kept = (b"model name", b"flags", b"Features", b"CPU part")
    return b"\n".join(line for line in lines if line.startswith(kept))


def _folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ramify" / "native"


def _build(compiler: str, path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # made beside its place and moved there: another process may do the same
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / "body.so"
            command = [compiler, *_FLAGS, str(HERE / "body.cpp"), "-o", str(made)]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
            if done.returncode != 0:
                first = next((x for x in done.stderr.splitlines() if "error" in x), done.stderr)
                raise NoLibraryError(f"{compiler} cannot build it: {first.strip()[:300]}")
            os.replace(made, path)
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        raise NoLibraryError(f"it cannot be built: {error}") from error


def try_library() -> ctypes.CDLL | None:
    """The library, or None with a line in the log that says why."""
    try:
        return library()
    except NoLibraryError as error:
        _log.info("no compiled kernels: %s torch's operators are used", error)
        return None
