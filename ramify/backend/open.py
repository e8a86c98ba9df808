"""Backends by name: ``"fake:"``, ``"radix:PATH"``."""

from __future__ import annotations

from urllib.parse import parse_qsl

from ramify.backend.contract import Backend
from ramify.errors import BackendError

_FORMS = '"fake:", "radix:PATH-OR-HUB-NAME[?option=value&...]", or a Backend object'
_LATER = ("openai", "vllm")


def open_backend(spec: str | Backend) -> Backend:
    """The backend that a short string names; a Backend object is given back as it is.

    Options follow a question mark: ``radix:models/demo?dtype=float32``.
    Raises BackendError for a form that is not known.
    """
    if not isinstance(spec, str):
        if isinstance(spec, Backend):
            return spec
        raise BackendError(f"{spec!r} is not a backend.", hint=f"Give {_FORMS}.")
    kind, colon, rest = spec.partition(":")
    path, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    if kind == "fake" and not path:
        from ramify.backend.fake import FakeBackend

        return FakeBackend.from_options(options)
    if kind == "radix" and path:
        from ramify.backend.radix import RadixBackend

        return RadixBackend.open(path, **options)
    if colon and kind in _LATER:
        raise BackendError(
            f"{kind!r} backends are not part of this version.", hint=f"There is {_FORMS}."
        )
    raise BackendError(f"{spec!r} names no backend.", hint=f"The forms are {_FORMS}.")
