"""Backends by name: ``"fake:"``, ``"radix:PATH"``, and what was registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ramify.backend.contract import Backend
from ramify.errors import BackendError, MissingExtraError

Opener = Callable[[str, Mapping[str, str]], Backend]


def _fake(path: str, options: Mapping[str, str]) -> Backend:
    from ramify.backend.fake import FakeBackend

    if path:
        raise BackendError(f"the fake backend has no path {path!r}.", hint='Write "fake:".')
    return FakeBackend.from_options(options)


def _radix(path: str, options: Mapping[str, str]) -> Backend:
    from ramify.backend.radix import RadixBackend

    if not path:
        raise BackendError("the radix backend needs a model.", hint='Write "radix:PATH".')
    return RadixBackend.open(path, **options)


def _openai(path: str, options: Mapping[str, str]) -> Backend:
    from ramify.backend.openai import OpenAIBackend

    given: dict[str, Any] = dict(options)
    return OpenAIBackend.open(path, **given)


def _vllm(path: str, options: Mapping[str, str]) -> Backend:
    from ramify.backend.vllm import VLLMBackend

    if not path:
        raise BackendError("the vllm backend needs a model.", hint='Write "vllm:PATH".')
    return VLLMBackend.open(path, **options)


_openers: dict[str, tuple[Opener, str]] = {
    "fake": (_fake, '"fake:"'),
    "radix": (_radix, '"radix:PATH-OR-HUB-NAME[?option=value&...]"'),
    "vllm": (_vllm, '"vllm:PATH-OR-HUB-NAME[?option=value&...]"'),
    "openai": (_openai, '"openai:MODEL@URL"'),
}
_EXTRAS = {"radix": "engine", "demo": "engine", "vllm": "vllm"}


def register_backend(kind: str, opener: Opener, form: str) -> None:
    """Make ``"kind:path?option=value"`` open a backend by `opener(path, options)`.

    `form` is how the name is written, for messages.
    """
    _openers[kind] = (opener, form)


def open_backend(spec: str | Backend) -> Backend:
    """The backend that a short string names; a Backend object is given back as it is.

    Options follow a question mark: ``radix:models/demo?dtype=float32``.
    Raises BackendError for a form that is not known, MissingExtraError where the packages that it
    needs are not installed.
    """
    forms = f"{', '.join(form for _, form in _openers.values())}, or a Backend object"
    if not isinstance(spec, str):
        if isinstance(spec, Backend):
            return spec
        raise BackendError(f"{spec!r} is not a backend.", hint=f"Give {forms}.")
    head, _, query = spec.partition("?")
    kind, _, path = head.partition(":")
    if kind not in _openers:
        raise BackendError(f"{spec!r} names no backend.", hint=f"The forms are {forms}.")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise BackendError(
            f"the options {query!r} cannot be read.", hint="Write ?name=value&name=value."
        ) from error
    try:
        return _openers[kind][0](path, options)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if kind not in _EXTRAS or package in ("", "ramify"):
            raise
        raise MissingExtraError(
            f"{spec!r} needs {package}, which is not installed here.",
            hint=f'Run: pip install "ramify[{_EXTRAS[kind]}]".',
        ) from error
