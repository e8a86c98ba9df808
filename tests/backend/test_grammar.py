"""Constraints as token masks: whatever is drawn under the mask, the real checkers accept."""

from __future__ import annotations

import json
import random
import re

import jsonschema
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.radix.grammar import GrammarCompiler, Matcher
from ramify.errors import ConstraintError
from ramify.ir import Constraint
from tests.backend import small_tokenizers as small
from tests.backend.test_fake_samplers import REGEXES

KINDS = ("byte_level", "unigram", "stories")
LONGEST = 400


@pytest.fixture(scope="module", params=KINDS)
def compiler(request: pytest.FixtureRequest) -> GrammarCompiler:
    made = {
        "byte_level": small.byte_level,
        "unigram": small.unigram,
        "stories": lambda: HFTokenizer.load(small.stories()),
    }
    return GrammarCompiler(made[request.param]())


def masked(matcher: Matcher, tokenizer: HFTokenizer) -> list[int]:
    """The allowed tokens, read from a mask row that is longer than it must be."""
    row = np.full((tokenizer.vocab_size + 31) // 32 + 2, -1, dtype=np.int32)
    matcher.mask(row)
    found = [i for i in range(row.size * 32) if int(row[i // 32]) >> (i % 32) & 1]
    assert all(i < tokenizer.vocab_size for i in found)
    return found


def drawn(
    compiler: GrammarCompiler, tokenizer: HFTokenizer, constraint: Constraint, tail: str, seed: int
) -> str | None:
    """A text drawn at random under the masks; None where it grew too long."""
    rng = random.Random(seed)
    matcher = compiler.matcher(constraint, tail)
    ids: list[int] = []
    while not matcher.finished and len(ids) < LONGEST:
        allowed = masked(matcher, tokenizer)
        assert bool(tokenizer.end_ids & set(allowed)) == matcher.accepting
        going = [i for i in allowed if i not in tokenizer.end_ids]
        if matcher.accepting and (not going or rng.random() < 0.4):
            break
        assert not any(i in tokenizer.control_ids for i in going)
        token = rng.choice(going)
        matcher.advance(token)
        ids.append(token)
    if not (matcher.finished or matcher.accepting):
        return None
    if matcher.finished:
        assert set(masked(matcher, tokenizer)) == tokenizer.end_ids
    text = tokenizer.decode(ids)
    assert text.startswith(tail)
    return text[len(tail) :]


@settings(max_examples=60, deadline=None)
@given(REGEXES, st.sampled_from(["", " "]), st.integers(0, 9))
def test_random_regexes(compiler: GrammarCompiler, pattern: str, tail: str, seed: int) -> None:
    text = drawn(compiler, compiler.tokenizer, Constraint("regex", pattern), tail, seed)
    assert text is None or re.fullmatch(pattern, text)


SCHEMAS = [
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["a", "é"]}, "maxItems": 3},
            "next": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"type": "null"}]},
        },
        "required": ["name", "age", "tags", "next"],
        "additionalProperties": False,
        "$defs": {"leaf": {"type": "object", "additionalProperties": False}},
    },
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 4},
    {"enum": [1, "two", None]},
    {"type": "string", "pattern": "^[a-c]{2,4}$"},
]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SCHEMAS), st.sampled_from(["", " "]), st.integers(0, 10_000))
def test_random_instances(compiler: GrammarCompiler, schema: dict, tail: str, seed: int) -> None:
    constraint = Constraint("schema", json.dumps(schema))
    text = drawn(compiler, compiler.tokenizer, constraint, tail, seed)
    assert text is not None
    made = json.loads(text)
    jsonschema.validate(made, schema)
    between = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    assert not re.search(r"\s", between), "no whitespace between the parts"


@settings(max_examples=20, deadline=None)
@example(["\u2581"], "", 0)  # sentencepiece's mark for a space, as a character of its own
@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4, unique=True),
    st.sampled_from(["", " "]),
    st.integers(0, 99),
)
def test_random_choices(
    compiler: GrammarCompiler, choices: list[str], tail: str, seed: int
) -> None:
    constraint = Constraint("choices", choices=tuple(choices))
    assert drawn(compiler, compiler.tokenizer, constraint, tail, seed) in choices


@pytest.mark.parametrize("tail", ["", " "])
def test_a_grammar(compiler: GrammarCompiler, tail: str) -> None:
    lark = 'start: item ("," item)*\nitem: NAME "=" /[0-9]{1,3}/\nNAME: "a" | "bee"\n'
    for seed in range(10):
        text = drawn(compiler, compiler.tokenizer, Constraint("grammar", lark), tail, seed)
        assert text is None or re.fullmatch(r"((a|bee)=\d{1,3})(,(a|bee)=\d{1,3})*", text)


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint("regex", "a("), "is invalid"),
        (Constraint("regex", "x(?=y)"), "look-around"),
        (Constraint("regex", r"[^\s\S]"), "matches no text"),
        (Constraint("schema", "{"), "not JSON"),
        (Constraint("schema", "3"), "not a JSON object"),
        (Constraint("schema", '{"type": "strange"}'), "Invalid type"),
        (Constraint("schema", '{"not": {"type": "string"}}'), "Unimplemented"),
        (Constraint("schema", '{"allOf": [{"type": "null"}, {"type": "string"}]}'), "Unsat"),
        (Constraint("grammar", "start: missing"), "unknown name"),
        (Constraint("grammar", "start: ("), "cannot be enforced"),
    ],
)
@pytest.mark.parametrize("tail", ["", " "])
def test_impossible_constraints_are_refused(
    compiler: GrammarCompiler, constraint: Constraint, reason: str, tail: str
) -> None:
    with pytest.raises(ConstraintError, match=reason) as caught:
        compiler.matcher(constraint, tail)
    assert "<state>" not in str(caught.value)


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("choices", choices=("Ω", "Ψ")),
        Constraint("regex", "[Δ-Ω]+"),
        Constraint("schema", '{"enum": ["Ω"]}'),
        Constraint("grammar", 'start: "a" "Ω"'),
    ],
)
def test_a_vocabulary_without_the_bytes_is_found_out_before_any_token(
    constraint: Constraint,
) -> None:
    lacking = GrammarCompiler(small.byte_level(all_bytes=False))
    with pytest.raises(ConstraintError, match=r"lacks the tokens|matches no text"):
        lacking.matcher(constraint)
    assert lacking.matcher(Constraint("choices", choices=("Ω", "yes")))


def test_a_wrong_token_is_an_error_and_copies_are_apart() -> None:
    ours = small.byte_level()
    compiler = GrammarCompiler(ours)
    matcher = compiler.matcher(Constraint("choices", choices=("yes", "no")))
    twin = matcher.copy()
    matcher.advance(ours.encode("n")[0])
    assert ours.decode(matcher.forced()) == "o"
    assert not twin.accepting and ours.decode(twin.forced()) == ""
    matcher.advance(ours.encode("o")[0])
    assert matcher.finished and matcher.accepting and matcher.forced() == []
    assert set(masked(matcher, ours)) == ours.end_ids
    with pytest.raises(ConstraintError, match="does not fit the choices"):
        twin.advance(ours.encode("x")[0])
    fresh = compiler.matcher(Constraint("choices", choices=("yes", "no")))
    assert not fresh.finished, "the compiled one is not touched"


def test_other_end_tokens_and_none() -> None:
    ours = small.byte_level()
    constraint = Constraint("regex", "a*")
    other = frozenset({ours.fast.convert_tokens_to_ids("<|user|>")})
    assert other <= set(masked(GrammarCompiler(ours, other).matcher(constraint), ours))
    allowed = masked(GrammarCompiler(ours, frozenset()).matcher(constraint), ours)
    assert allowed and not set(allowed) & ours.control_ids
