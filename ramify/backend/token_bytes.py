"""The bytes that each token of a Hugging Face tokenizer stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from ramify.errors import ModelLoadError

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes: character -> byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    table.update({chr(256 + rank): byte for rank, byte in enumerate(hidden)})
    return table


def token_bytes(
    vocabulary: Mapping[str, int], added: Mapping[int, bytes], decoder: Any
) -> list[bytes]:
    """The bytes of every token by id; `added` gives those of added tokens.

    Two kinds of decoder are known: byte-level (GPT-2 and after it) and sentencepiece-like (``▁``
    for a space, bytes as ``<0xNN>``). Raises ModelLoadError for others, whose tokens do not stand
    for fixed bytes.
    """
    steps = _steps(decoder)
    kinds = {step["type"] for step in steps}
    underline = any(
        step["type"] == "Replace" and step["pattern"] == {"String": "▁"} for step in steps
    )
    if "ByteLevel" in kinds:
        to_bytes = _from_byte_level
    elif underline or kinds & {"ByteFallback", "Metaspace"}:
        to_bytes = _from_pieces
    else:
        raise ModelLoadError(
            "a tokenizer of this kind is not supported "
            f"(its decoder: {', '.join(sorted(kinds)) or 'none'}).",
            hint="Byte-level and sentencepiece-like tokenizers are.",
        )
    table = [b""] * (1 + max([*vocabulary.values(), *added], default=-1))
    for piece, number in vocabulary.items():
        if number not in added:
            table[number] = to_bytes(piece)
    for number, data in added.items():
        table[number] = data
    return table


def _steps(decoder: Any) -> list[dict[str, Any]]:
    """What a decoder of the tokenizers library does, as its JSON says."""
    if decoder is None:
        return []
    state = json.loads(decoder.__getstate__())
    steps: list[dict[str, Any]] = state.get("decoders", [state])
    return steps


def _from_byte_level(piece: str) -> bytes:
    table = _byte_alphabet()
    try:
        return bytes(table[character] for character in piece)
    except KeyError:  # a word put into the vocabulary by hand, spelled as it is
        return piece.encode()


def _from_pieces(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
