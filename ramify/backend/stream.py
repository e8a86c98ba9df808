"""Tokens of an answer to text, as they come: whole characters only, stop strings held back."""

from __future__ import annotations

from codecs import getincrementaldecoder
from dataclasses import dataclass

from ramify.backend.tokenizer import Tokenizer

_Utf8 = getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Piece:
    """A step of an answer: `text` is the text of `ids` (the first piece's without the tail)."""

    ids: tuple[int, ...] = ()
    text: str = ""


NOTHING = Piece()


class TextStream:
    """Turns the tokens of one answer into text, in time linear in the answer.

    A token is given out once its text is whole characters that can no longer be part of a stop
    string. The answer ends before the first stop string that is complete after some token; where
    several are complete after the same token, before the one that starts first. Tokens whose text
    lies before the stop are kept; if the stop begins inside a token, what is left of that token
    is encoded again, so the ids always spell the text.

    `tail` is what the chat template puts between message header and content (a space, mostly):
    the model says it first, and it is taken off the text once, if the text begins with it.
    Stop strings are looked for after the tail and in the text after the first `min_tokens` tokens.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop: tuple[str, ...] = (),
        tail: str = "",
        *,
        min_tokens: int = 0,
    ) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._longest = max(map(len, stop), default=0)
        self._tail = tail
        self._min_tokens = min_tokens
        self._decoder = _Utf8("replace")
        self._ids: list[int] = []  # not given out yet
        self._text = ""  # the whole characters of `_ids`, without `_lead`
        self._lead = ""  # the tail, taken off the text while its ids are not given out yet
        self._clean: list[tuple[int, int]] = []  # (tokens, characters) where both end together
        self._searched = 0  # no stop string starts before this character of `_text`
        self._pushed = 0
        self.stopped = False

    def again(self, *, min_tokens: int) -> TextStream:
        """A new stream with the same options, without a tail."""
        return TextStream(self._tokenizer, self._stop, min_tokens=min_tokens)

    def push(self, token: int) -> Piece:
        """Take one more token; the answer's next piece, often empty. Nothing after a stop."""
        if self.stopped:
            return NOTHING
        self._pushed += 1
        self._ids.append(token)
        data = self._tokenizer.bytes_of(token)
        self._text += self._decoder.decode(data) if data else ""
        if not self._decoder.getstate()[0]:
            self._clean.append((len(self._ids), len(self._text)))
        if self._pushed <= self._min_tokens:
            self._searched = len(self._text)
        if self._tail and not self._strip_tail(final=False):
            return NOTHING
        if not self._stop:
            return self._release(len(self._text))
        cut = self._find_stop()
        return self._release(self._safe()) if cut < 0 else self._cut(cut)

    def finish(self) -> Piece:
        """The rest, when no more tokens come: what was held back, half characters as U+FFFD."""
        if self.stopped:
            return NOTHING
        self.stopped = True
        self._text += self._decoder.decode(b"", True)
        if self._tail:
            self._strip_tail(final=True)
        piece = Piece(tuple(self._ids), self._text)
        self._ids, self._text, self._clean = [], "", []
        return piece

    def _strip_tail(self, *, final: bool) -> bool:
        """Take the tail off the text; False while it cannot be told whether it is there."""
        if self._text.startswith(self._tail):
            size = len(self._tail)
            self._text = self._text[size:]
            # A border inside the tail would give out a token whose text is still to be told
            # from the tail; its ids go out with the border that follows.
            self._clean = [(n, chars - size) for n, chars in self._clean if chars >= size]
            self._searched = max(0, self._searched - size)
            self._lead = self._tail
        elif not final and self._tail.startswith(self._text):
            return False
        self._tail = ""
        return True

    def _find_stop(self) -> int:
        """Where the first complete stop string starts in the held text, or -1."""
        start = self._searched
        found = [at for stop in self._stop if (at := self._text.find(stop, start)) >= 0]
        if not found:
            self._searched = max(start, len(self._text) - self._longest + 1)
        return min(found, default=-1)

    def _safe(self) -> int:
        """How many characters of the held text cannot be the beginning of a stop string."""
        text, size = self._text, len(self._text)
        for at in range(max(self._searched, size - self._longest + 1), size):
            rest = text[at:]
            if any(stop.startswith(rest) for stop in self._stop):
                return at
        return size

    def _release(self, characters: int) -> Piece:
        """Give out the tokens whose text ends within so many characters."""
        best = None
        while self._clean and self._clean[0][1] <= characters:
            best = self._clean.pop(0)
        if best is None:
            return NOTHING
        tokens, size = best
        self._lead = ""
        piece = Piece(tuple(self._ids[:tokens]), self._text[:size])
        del self._ids[:tokens]
        self._text = self._text[size:]
        self._clean = [(n - tokens, chars - size) for n, chars in self._clean]
        self._searched = max(0, self._searched - size)
        return piece

    def _cut(self, characters: int) -> Piece:
        """End the answer after so many characters of the held text."""
        self.stopped = True
        kept = max((c for c in self._clean if c[1] <= characters), default=(0, 0))
        rest = self._text[kept[1] : characters]
        if kept[0] == 0:
            rest = self._lead + rest
        ids = (*self._ids[: kept[0]], *(self._tokenizer.encode(rest) if rest else ()))
        piece = Piece(ids, self._text[:characters])
        self._ids, self._text, self._clean = [], "", []
        return piece
