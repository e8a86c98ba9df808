"""How a value survives an f-string: a marker in the text, which comes back as the value.

A marker reads as a sentence, so that one that leaks into other code says itself what it is.
Markers carry a secret of this process: text from documents can never pass for one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any

from ramify.errors import ValueUseError

_BEGIN = "\ue0f0"
_END = "\ue0f1"
_SECRET = secrets.token_hex(4)
_MARKER = re.compile(
    f"{_BEGIN}ramify value '([^{_BEGIN}{_END}]*)', not computed yet"
    rf" #{_SECRET}-([0-9a-f]+)-([0-9]+){_END}"
)


def marker(name: str, trace: int, index: int) -> str:
    """The text that stands for object number `index` of a trace."""
    clean = name.replace(_BEGIN, "").replace(_END, "")
    return f"{_BEGIN}ramify value '{clean}', not computed yet #{_SECRET}-{trace:x}-{index}{_END}"


def named_in(text: str) -> str | None:
    """The name of the first value whose marker stands in a text, whole or changed."""
    found = re.search(r"ramify value '([^']*)'", text, re.IGNORECASE)
    return found[1] if found and f"#{_SECRET}-" in text.lower() else None


def need_plain(what: str, texts: Iterable[Any]) -> None:
    """Raise ValueUseError where one of the texts that must be known now holds a value."""
    for text in texts:
        name = named_in(text) if isinstance(text, str) and f"#{_SECRET}-" in text else None
        if name is not None:
            raise ValueUseError(
                f"{what} holds the value {name!r}, which does not exist yet.",
                hint="Resolve it first: str(value).",
            )


def split(text: str, trace: int, objects: list[Any]) -> list[Any]:
    """Text and the objects in it, in order.

    Raises ValueUseError for a marker that was changed on its way, or comes from another run.
    """
    if _BEGIN not in text and f"#{_SECRET}-" not in text:
        return [text] if text else []
    parts: list[Any] = []
    end = 0
    for match in _MARKER.finditer(text):
        _plain(text[end : match.start()], parts)
        if int(match[2], 16) != trace:
            raise ValueUseError(
                f"the value {match[1]!r} belongs to another run.",
                hint="Use result[name] of the finished run.",
            )
        parts.append(objects[int(match[3])])
        end = match.end()
    _plain(text[end:], parts)
    return parts


def _plain(text: str, parts: list[Any]) -> None:
    low = text.lower()
    if f"#{_SECRET}-" in low or (_BEGIN in text and "ramify value" in low):
        name = re.search(r"ramify value '([^']*)'", text, re.IGNORECASE)
        raise ValueUseError(
            f"the value {name[1] if name else '?'!r} was changed as if it were plain text.",
            hint="Resolve it first: str(value), or rf.call(function, value) to change it later.",
        )
    if text:
        parts.append(text)
