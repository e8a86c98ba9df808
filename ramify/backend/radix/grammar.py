"""Constraints as token masks, by llguidance."""

from __future__ import annotations

import json
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.regex import linear_regex, literal_regex
from ramify.errors import ConstraintError
from ramify.ir.sampling import Constraint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KEPT = 256  # compiled constraints
_TRIALS = 512  # steps of the search for an answer that the tokenizer can spell,
_WIDEST = 64  # and tokens tried at each
_TOP_BIT = -(1 << 31)


class GrammarCompiler:
    """Compiles constraints for one tokenizer.

    Constraints speak of the answer's text. Where the chat template puts a tail (a space) between
    header and content, the model writes it first: the compiled grammar then demands exactly that
    tail and the constrained text after it. It is demanded, not optional, because a text may itself
    begin with a space, and the stream takes the tail off exactly once.
    """

    def __init__(self, tokenizer: HFTokenizer, end_ids: frozenset[int] | None = None) -> None:
        """`end_ids` are the tokens that end an answer (`Renderer.end_ids`)."""
        self.tokenizer = tokenizer
        self._end_ids = tokenizer.end_ids if end_ids is None else end_ids
        self._compiled: OrderedDict[tuple[Constraint, str], Any] = OrderedDict()
        self._lock = Lock()
        self._engine_tokenizer: Any = None
        spelled = {data for data in tokenizer.token_table if len(data) == 1}
        self._complete = len(spelled) == 256

    def matcher(self, constraint: Constraint, tail: str = "") -> Matcher:
        """A matcher at the beginning of an answer.

        Raises ConstraintError where the constraint is invalid, matches no text, or matches only
        texts that the tokenizer cannot spell.
        """
        key = (constraint, tail)
        with self._lock:
            if self._engine_tokenizer is None:
                self._engine_tokenizer = _engine_tokenizer(self.tokenizer, self._end_ids)
            found = self._compiled.get(key)
            if found is None:
                found = self._compiled[key] = self._compile(constraint, tail)
                if len(self._compiled) > _KEPT:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(key)
            return Matcher(found.deep_copy(), self.tokenizer.vocab_size, self._end_ids, constraint)

    def _compile(self, constraint: Constraint, tail: str) -> Any:
        from llguidance import LLMatcher

        found = LLMatcher(self._engine_tokenizer, _grammar(constraint, tail), log_level=0)
        if found.is_error():
            raise ConstraintError(
                f"the {constraint.kind} {_shown(constraint)} cannot be enforced: {_reason(found)}"
            )
        if tail:
            self._compile(constraint, "")  # what matches no text is only seen without the tail
        size = self.tokenizer.vocab_size
        start = Matcher(found.deep_copy(), size, self._end_ids, constraint)
        if not start.accepting and not start.open:
            raise ConstraintError(f"the {constraint.kind} {_shown(constraint)} matches no text.")
        if not self._complete and not _spellable(start):
            raise ConstraintError(
                f"the tokenizer {self.tokenizer.origin} lacks the tokens for any answer to the "
                f"{constraint.kind} {_shown(constraint)}.",
                hint="Its vocabulary does not hold every byte.",
            )
        return found


class Matcher:
    """How far an answer has followed its constraint."""

    def __init__(
        self, engine: Any, vocab_size: int, end_ids: frozenset[int], constraint: Constraint
    ) -> None:
        self._engine = engine
        self._vocab_size = vocab_size
        self._end_ids = end_ids
        self._constraint = constraint

    def mask(self, out: NDArray[np.int32]) -> None:
        """Write the tokens that may come next: bit `i % 32` of `out[i // 32]` is token i.

        `out` is a row of at least `ceil(vocab_size / 32)` words; what lies beyond the vocabulary
        is cleared. Where the text may end here, the end tokens are among them. Raises
        ConstraintError where nothing can follow: only a vocabulary without every byte leads there.
        """
        row = self._row()
        out[: row.size] = row
        out[row.size :] = 0
        if not row.any():
            raise ConstraintError(
                f"no token can follow in the {self._constraint.kind} {_shown(self._constraint)}: "
                f"{_reason(self._engine)}",
                hint="The tokenizer's vocabulary does not hold every byte.",
            )

    def advance(self, token: int) -> None:
        """Take a token that the mask allows. Raises ConstraintError for another one."""
        if not self._engine.consume_token(token):
            raise ConstraintError(
                f"token {token} does not fit the {self._constraint.kind} "
                f"{_shown(self._constraint)}: {_reason(self._engine)}"
            )

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing but an end token may follow."""
        return bool(self._engine.is_stopped())

    @property
    def accepting(self) -> bool:
        """Whether the text may end here."""
        return bool(self._engine.is_accepting())

    @property
    def open(self) -> bool:
        """Whether text may follow."""
        return not self.finished and bool(self.allowed())

    def allowed(self) -> list[int]:
        """The tokens that may come next, without end tokens: for tests and small searches."""
        import numpy as np

        bits = np.unpackbits(self._row().view(np.uint8), bitorder="little")
        return [token for token in np.flatnonzero(bits).tolist() if token not in self._end_ids]

    def _row(self) -> NDArray[np.int32]:
        """The mask, of exactly `ceil(vocab_size / 32)` words."""
        import numpy as np

        row = np.zeros((self._vocab_size + 32) // 32, dtype=np.int32)  # with the spare end token
        if self.finished:
            for token in self._end_ids:
                row[token // 32] |= np.int32(1 << (token % 32)) if token % 32 < 31 else _TOP_BIT
        else:
            self._engine.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
            if self._engine.is_error():  # nothing can follow: its own word for an empty mask
                row[:] = 0
        if self._vocab_size % 32:
            row[self._vocab_size // 32] &= (1 << self._vocab_size % 32) - 1
        return row[: (self._vocab_size + 31) // 32]

    def forced(self) -> list[int]:
        """Tokens for the text that must come next, in the tokenizer's own spelling.

        The mask may allow other spellings of the same text.
        """
        return [] if self.finished else list(self._engine.compute_ff_tokens())

    def copy(self) -> Matcher:
        """An independent matcher at the same place."""
        engine = self._engine.deep_copy()
        return Matcher(engine, self._vocab_size, self._end_ids, self._constraint)


def _grammar(constraint: Constraint, tail: str) -> str:
    """The constraint in llguidance's own form, with the tail before it."""
    from llguidance import LLMatcher

    before = f"start: {json.dumps(tail)} " if tail else "start: "
    if constraint.kind in ("choices", "regex"):
        if constraint.kind == "choices":
            regex = "|".join(map(literal_regex, constraint.choices))
        else:
            regex = linear_regex(constraint.text)
        regex = regex.replace("/", r"\x{2f}")
        return str(LLMatcher.grammar_from_lark(f"{before}ANSWER\nANSWER: /{regex}/"))
    if constraint.kind == "schema":
        schema = _compact(constraint.text)
        return str(LLMatcher.grammar_from_lark(f"{before}answer\nanswer: %json {schema}"))
    if not tail:
        return str(LLMatcher.grammar_from_lark(constraint.text))
    inner = {"name": "answer", "lark_grammar": constraint.text}
    return json.dumps({"grammars": [{"lark_grammar": f"{before}@answer"}, inner]})


def _compact(text: str) -> str:
    """The schema, told to allow no whitespace between the parts of the JSON."""
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise ConstraintError(f"the schema is not JSON: {error}.") from error
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise ConstraintError("the schema is not a JSON object.")
    return json.dumps({**schema, "x-guidance": {"whitespace_flexible": False}})


def _spellable(start: Matcher) -> bool:
    """Whether some answer can be spelled; True also where a short search cannot tell."""
    stack = [start]
    for _ in range(_TRIALS):
        if not stack:
            return False
        matcher = stack.pop()
        if matcher.accepting or matcher.finished:
            return True
        for token in matcher.allowed()[:_WIDEST]:
            after = matcher.copy()
            after.advance(token)
            stack.append(after)
    return True


def _engine_tokenizer(tokenizer: HFTokenizer, end_ids: frozenset[int]) -> Any:
    from llguidance import LLTokenizer, TokenizerWrapper

    vocabulary = TokenizerWrapper(_Vocabulary(tokenizer, end_ids))
    return LLTokenizer(vocabulary, eos_token=_ends(tokenizer, end_ids))


def _ends(tokenizer: HFTokenizer, end_ids: frozenset[int]) -> list[int]:
    """The end tokens; one past the vocabulary where the model has none."""
    return sorted(end_ids) or [tokenizer.vocab_size]


class _Vocabulary:
    """A tokenizer as llguidance reads it, with one spare token past its end."""

    def __init__(self, tokenizer: HFTokenizer, end_ids: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        spare = tokenizer.vocab_size
        self.eos_token_id = _ends(tokenizer, end_ids)[0]
        self.bos_token_id = None
        # an empty token would be allowed anywhere; special ones need a name of their own
        self.tokens = [
            data or f"<{number}>".encode() for number, data in enumerate(tokenizer.token_table)
        ]
        self.tokens.append(f"<{spare}>".encode())
        self.special_token_ids = [
            number for number, data in enumerate(tokenizer.token_table) if not data
        ]
        self.special_token_ids.append(spare)

    def __call__(self, text: str) -> list[int]:
        """Tokens that spell a text that the grammar forces, byte for byte.

        Some tokenizers write one character as another (sentencepiece's space mark as a space):
        what does not come back as it was is spelled from the vocabulary's single bytes.
        """
        ids = self.tokenizer.encode(text)
        data = text.encode()
        if b"".join(map(self.tokenizer.bytes_of, ids)) == data:
            return list(ids)
        single = {t: i for i, t in enumerate(self.tokenizer.token_table) if len(t) == 1}
        return [single[data[at : at + 1]] for at in range(len(data)) if data[at : at + 1] in single]


def _reason(engine: Any) -> str:
    """The first part of llguidance's message; the rest is a dump of its state."""
    return " ".join(str(engine.get_error()).partition("<state>")[0].split())


def _shown(constraint: Constraint) -> str:
    text = constraint.text or repr(constraint.choices)
    return repr(text) if len(text) <= 80 else repr(text[:77] + "...")
