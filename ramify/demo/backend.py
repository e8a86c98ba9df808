"""The demo model as a backend."""

from __future__ import annotations

from collections.abc import Mapping

from ramify.backend import Backend
from ramify.demo.world import model_path
from ramify.errors import BackendError


def open_demo(path: str = "", options: Mapping[str, str] | None = None) -> Backend:
    """The shipped model on the embedded engine, in float32 unless `options` say otherwise.

    A small model decodes faster in float32 than in bfloat16 when it serves few requests.
    Raises DemoModelError for a broken model folder.
    """
    from ramify.backend.radix import RadixBackend

    if path:
        raise BackendError(f"the demo has no path {path!r}.", hint='Write "demo".')
    chosen = {"dtype": "float32", "name": "demo", **(options or {})}
    return RadixBackend.open(model_path(), **chosen)
