"""Hugging Face fast tokenizers as Ramify reads them: exact bytes, no control tokens from text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from ramify.backend.chat_template import Messages
from ramify.backend.token_bytes import token_bytes
from ramify.backend.tokenizer import EncodeCache
from ramify.errors import CapabilityError, ModelLoadError

# Added tokens of this look are markers even where the tokenizer does not call them special.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKER = re.compile(r"<.+>|\[[A-Z_/]+\]", re.DOTALL)


class HFTokenizer:
    """A fast tokenizer of the transformers library (see `Tokenizer` for what the methods mean).

    Text is encoded with special tokens switched off and, unless it is the first, without the
    space that sentencepiece-like tokenizers put in front. Markers such as ``<think>`` that are not
    special are written only by templates and by the model, and they keep their text.
    """

    def __init__(self, fast: Any) -> None:
        """Wrap a `PreTrainedTokenizerFast`. Raises ModelLoadError where it cannot be read."""
        core = getattr(fast, "backend_tokenizer", None)
        if core is None:
            raise ModelLoadError(
                f"{type(fast).__name__} is not a fast tokenizer.",
                hint="The model needs a tokenizer.json.",
            )
        self.fast = fast
        self._control = _copy(core.to_str())
        text = self._control.to_str()
        self.name = f"hf:{sha256(text.encode()).hexdigest()[:16]}"
        self.origin = str(getattr(fast, "name_or_path", "")) or self.name
        added = core.get_added_tokens_decoder()
        self.control_ids = frozenset(i for i, token in added.items() if token.special)
        markers = {i: token for i, token in added.items() if _MARKER.fullmatch(token.content)}
        self.marker_ids = self.control_ids.union(markers)
        self._spelling = {i: added[i].content for i in self.marker_ids}
        self._forbidden = self.marker_ids - {fast.unk_token_id}  # what the vocabulary lacks
        self._spells_bytes = type(core.model).__name__ == "Unigram"
        contents = {i: token.content.encode() for i, token in added.items()}
        contents |= dict.fromkeys(self.control_ids, b"")
        self._bytes = token_bytes(core.get_vocab(with_added_tokens=False), contents, core.decoder)
        self.vocab_size = len(self._bytes)
        self._first = _plain_copy(text, markers.values())
        self._middle = self._first
        steps = _without_dummy_prefix(self._first)
        if steps is not None:
            self._middle = _plain_copy(text, markers.values())
            _set_steps(self._middle, steps)
        self._cache = EncodeCache(lambda text: self._plain(self._middle, text))
        self.start_ids = self._find_start()
        self.end_ids = frozenset(i for i in [fast.eos_token_id] if i is not None)
        self.has_template = bool(getattr(fast, "chat_template", None))

    @classmethod
    def load(cls, source: str | Path) -> HFTokenizer:
        """Load from a model folder, or from the local hub cache by name; never from the network.

        End tokens are the tokenizer's and those of the generation settings beside it.
        Raises ModelLoadError where there is no usable tokenizer.
        """
        from transformers import AutoTokenizer

        folder = Path(source)
        if folder.exists() and not (folder / "tokenizer.json").is_file():
            raise ModelLoadError(
                f"{str(source)!r} has no tokenizer.json.",
                hint="Save the model's fast tokenizer there with save_pretrained().",
            )
        try:
            fast = AutoTokenizer.from_pretrained(
                str(source), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # the tokenizers library raises plain Exceptions
            raise ModelLoadError(
                f"no tokenizer could be loaded from {str(source)!r}: {error}",
                hint="Give a folder with tokenizer.json, or a name in the local hub cache.",
            ) from error
        found = cls(fast)
        found.end_ids |= _end_ids(folder)
        return found

    def encode(self, text: str, *, first: bool = False) -> tuple[int, ...]:
        if not text:
            return ()
        if not text.isascii() and _LONE_SURROGATE.search(text):
            text = _LONE_SURROGATE.sub("\ufffd", text)  # no text to the tokenizers library
        return self._plain(self._first, text) if first else self._cache(text)

    def _plain(self, core: Any, text: str) -> tuple[int, ...]:
        if self._spells_bytes and "<0x" in text:  # a byte's name is not the byte
            at = text.find("<0x") + 1
            return self._plain(core, text[:at]) + self._plain(self._middle, text[at:])
        ids = tuple(core.encode(text, add_special_tokens=False).ids)
        found = next((i for i in ids if i in self._forbidden), None)
        if found is None:
            return ids
        # A vocabulary that lists its special tokens may still find them as words: cut the spelling
        # in two (or the text, where normalizing made the spelling), until nothing is found.
        if len(text) == 1:
            raise CapabilityError(f"{text!r} cannot be written without a control token.")
        at = text.find(self._spelling[found]) + 1
        if at == 0 or at == len(text):
            at = len(text) // 2
        return self._plain(core, text[:at]) + self._plain(self._middle, text[at:])

    def encode_control(self, text: str) -> tuple[int, ...]:
        at = min((k for t in self._spelling.values() if (k := text.find(t)) >= 0), default=-1)
        if at < 0:
            return self.encode(text)
        ids = self._control.encode(text[at:], add_special_tokens=False).ids
        return self.encode(text[:at]) + tuple(ids)

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(map(self.bytes_of, ids)).decode("utf-8", "replace")

    def bytes_of(self, token: int) -> bytes:
        return self._bytes[token] if 0 <= token < len(self._bytes) else b""

    def spell(self, ids: Iterable[int]) -> str:
        """The text of ids with control tokens spelled out: for people."""
        parts = (self._spelling.get(i, "").encode() or self.bytes_of(i) for i in ids)
        return b"".join(parts).decode("utf-8", "replace")

    @cached_property
    def token_table(self) -> tuple[bytes, ...]:
        """The bytes of every token by id."""
        return tuple(self._bytes)

    def render_template(self, messages: Messages, *, answer: bool) -> str:
        plain = [dict(message) for message in messages]
        try:
            text = self.fast.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=answer
            )
        except Exception as error:  # a template is a program: it may fail in any way
            raise CapabilityError(f"it says: {error}") from error
        return str(text)

    def _find_start(self) -> tuple[int, ...]:
        ids = tuple(self.fast("a")["input_ids"])
        count = 0
        while count < len(ids) and ids[count] in self.control_ids:
            count += 1
        return ids[:count]


def _copy(text: str) -> Any:
    """A core tokenizer of our own, from its JSON."""
    from tokenizers import Tokenizer as Core

    core = Core.from_str(text)
    core.no_padding()
    core.no_truncation()
    return core


def _plain_copy(text: str, markers: Iterable[Any]) -> Any:
    """One to which special tokens and these markers are text like any other."""
    core = _copy(text)
    core.add_special_tokens(list(markers))
    core.encode_special_tokens = True
    return core


def _without_dummy_prefix(core: Any) -> dict[str, Any] | None:
    """The steps of a tokenizer for text that goes on; None where nothing is put in front anyway."""
    steps = {
        name: json.loads(step.__getstate__()) if step is not None else None
        for name, step in (("normalizer", core.normalizer), ("pre_tokenizer", core.pre_tokenizer))
    }
    before = json.dumps(steps)
    for name, step in steps.items():
        if step is None:
            continue
        inner = step.get("normalizers") or step.get("pretokenizers") or [step]
        for one in inner:
            if one["type"] == "Metaspace":
                one["prepend_scheme"] = "never"
            elif one["type"] == "ByteLevel" and "add_prefix_space" in one:
                one["add_prefix_space"] = False
        kept = [one for one in inner if one["type"] != "Prepend"]
        if len(kept) != len(inner):
            steps[name] = {"type": "Sequence", "normalizers": kept}
    return None if json.dumps(steps) == before else steps


def _set_steps(core: Any, steps: dict[str, Any]) -> None:
    """Give a tokenizer other steps, by way of an empty tokenizer that is made of them."""
    layout: dict[str, Any] = {"version": "1.0", "added_tokens": []}
    layout |= dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
    layout["model"] = {"type": "WordLevel", "vocab": {}, "unk_token": ""}
    carrier = _copy(json.dumps(layout | steps))
    for name, step in steps.items():
        if step is not None:
            setattr(core, name, getattr(carrier, name))


def _end_ids(folder: Path) -> frozenset[int]:
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.is_file():
            value = json.loads(path.read_text("utf-8")).get("eos_token_id")
            found.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(found)
