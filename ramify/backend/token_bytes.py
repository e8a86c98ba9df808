"""The bytes that each token of a Hugging Face tokenizer stands for."""

from __future__ import annotations

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


def token_bytes(layout: Mapping[str, Any], added: Mapping[int, bytes]) -> list[bytes]:
    """The bytes of every token by id; `added` gives those of added tokens.

    `layout` is the parsed tokenizer.json. Two kinds are known: byte-level (GPT-2 and after it) and
    sentencepiece-like (``▁`` for a space, bytes as ``<0xNN>``). Raises ModelLoadError for others,
    whose tokens do not stand for fixed bytes.
    """
    decoders = _decoders(layout)
    vocabulary = layout["model"].get("vocab")
    if isinstance(vocabulary, list):  # Unigram: pieces with scores
        vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
    if "ByteLevel" in decoders:
        to_bytes = _from_byte_level
    elif decoders & {"ByteFallback", "Metaspace"} or _replaces_underline(layout):
        to_bytes = _from_pieces
    else:
        kinds = ", ".join(sorted(decoders)) or "none"
        raise ModelLoadError(
            f"a tokenizer of this kind is not supported (its decoder: {kinds}).",
            hint="Byte-level and sentencepiece-like tokenizers are.",
        )
    size = 1 + max([*vocabulary.values(), *added], default=-1)
    table = [b""] * size
    for piece, number in vocabulary.items():
        if number not in added:
            table[number] = to_bytes(piece)
    for number, data in added.items():
        table[number] = data
    return table


def _decoders(layout: Mapping[str, Any]) -> set[str]:
    decoder = layout.get("decoder")
    if decoder is None:
        return set()
    return {one["type"] for one in decoder.get("decoders", [decoder])}


def _replaces_underline(layout: Mapping[str, Any]) -> bool:
    decoder = layout.get("decoder") or {}
    return any(
        one["type"] == "Replace" and one["pattern"] == {"String": "▁"}
        for one in decoder.get("decoders", [decoder] if decoder else [])
    )


def _from_byte_level(piece: str) -> bytes:
    table = _byte_alphabet()
    try:
        return bytes(table[character] for character in piece)
    except KeyError:  # a word put into the vocabulary by hand, spelled as it is
        return piece.encode()


def _from_pieces(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
