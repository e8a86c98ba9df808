"""The weights that training starts from: circuits that copy, tell passages apart, and compare.

What is known about a token lives in subspaces of the stream: the token itself (`own`), the two
before it (`last`, `before`), the label of the passage it stands in (`place`), the label of the
passage that the text just written is about (`asked`), the aspect that a passage has just told
(`told`), all aspects that it tells (`known`), and the difference of two digits (`gap`).

- First layer: two heads look one and two tokens back and write what they find into `last` and
  `before`. All embeddings share one direction; queries and keys read it alone, turned so that
  rotary positions give the peak at that distance. Two others look back to where two digits stand
  that are being compared ("1134 and 1379: =<"), and write their difference into `gap`.
- Layers above: two heads look for what stood behind the last token, or the last two, when they
  stood before (induction heads, Olsson et al. 2022), and pass it on to the output, whose rows point
  the way embeddings do. They compare in the slow rotary dimensions only, so that distance does not
  matter. From the fifth layer on they prefer tokens whose `place` is `asked`.
- Second layer: a head finds the latest label and writes its digit into `place`. Recency is a sum of
  cosines over all rotary frequencies, which falls with distance like a logarithm. The end of a line
  or of a message counts as a label without a digit.
- Third layer: two heads find the same two tokens, or the last two, in the passages and write their
  `place` into `asked`: which passage tells of this town, or has this value.
- Fourth layer: a head carries `asked` on by one token.
- Third and fifth layer: a head gathers what the passages told (`told`) and writes it into `known`,
  in the fifth only from tokens whose `place` is `asked`. What no passage told is missing there.

The other heads start at random. `probes` keeps the circuits alive until they are needed, and
teaches the model to write `told`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from examples.demo_world.town import KEYS

FAST = 0.1  # radians per token: rotary frequencies above tell neighbours apart
SLOW, SLOWER = 0.01, 0.003  # those below span a passage, a prompt
MATCH, LABEL, SAME = 1.3, 0.8, 2.2  # how sharply equal tokens, labels and passages are found
GATHER = 1.2  # how sharply tokens that have told something are
GAP = 0.03  # what a difference of one between two digits weighs
STRENGTH = 4.0  # norm of a token's code
DIGITS, OPEN, BREAK, CODES = 10, 10, 11, 12  # dimensions of a code that are kept for structure
CODE = 54  # dimensions of a token's code
ASPECTS = len(KEYS)


class Space(NamedTuple):
    """Orthonormal columns of the stream's subspaces, each [width, size]."""

    shared: torch.Tensor
    own: torch.Tensor
    last: torch.Tensor
    before: torch.Tensor
    place: torch.Tensor
    asked: torch.Tensor
    told: torch.Tensor
    known: torch.Tensor
    gap: torch.Tensor


def spaces(width: int) -> Space:
    """A random rotation of the stream, cut into subspaces; `before` gets what is left."""
    basis = torch.linalg.qr(torch.randn(width, width))[0]
    small = [DIGITS, DIGITS, ASPECTS, ASPECTS, 1]
    return Space(*basis.split([1, CODE, CODE, width - 1 - 2 * CODE - sum(small), *small], 1))


def codes(fast: PreTrainedTokenizerFast) -> torch.Tensor:
    """A code per token [vocab, CODE]: random, but digits, brackets and breaks have dimensions of
    their own, which other tokens leave at zero."""
    code = torch.randn(len(fast), CODE)
    code[:, :CODES] = 0
    code = torch.nn.functional.normalize(code)
    marked = {"[": OPEN, "\u0120[": OPEN, "\u010a": BREAK, "<|user|>": BREAK, "<|end|>": BREAK}
    for digit in range(DIGITS):
        marked |= {f"{digit}": digit, f"\u0120{digit}": digit}
    known = fast.get_vocab()
    for token, dimension in marked.items():
        if token not in known:  # no number starts with 0
            continue
        at = known[token]
        code[at] *= 0.6
        code[at, dimension] = 0.8
    return STRENGTH * code


@torch.no_grad()
def start(model: LlamaForCausalLM, fast: PreTrainedTokenizerFast) -> Space:
    """Overwrite the weights of a fresh model with the circuits above; returns its subspaces."""
    config = model.config
    width, head = config.hidden_size, config.head_dim
    space = spaces(width)
    rest = space.before.shape[1]
    tokens = codes(fast) @ space.own.T
    model.model.embed_tokens.weight.copy_(tokens + 1.5 * space.shared.T)
    model.lm_head.weight.copy_(0.1 * tokens)
    theta = float(config.rope_parameters["rope_theta"])
    frequency = theta ** -(torch.arange(0, head, 2).float() / head)
    for depth, layer in enumerate(model.model.layers):
        attention = layer.self_attn
        heads = Heads(
            attention.q_proj.weight.view(-1, head, width),
            attention.k_proj.weight.view(-1, head, width),
            attention.v_proj.weight.view(-1, head, width),
            attention.o_proj.weight.view(width, -1, head),
        )
        heads.value[0] = _pad(space.own, head).T
        if depth == 0:
            look_back(heads, space, frequency, 0, 0, 1, 0.3 * _pad(space.last, head))
            back = 0.3 * _pad(_pad(space.before, CODE).roll(-rest, 1), head)
            look_back(heads, space, frequency, 0, 1, 2, back)
            subtract(heads, space, frequency, distances(fast))
            continue
        copy(heads, space, frequency, prefer=depth >= 4)
        if depth == 1:
            find_label(heads, space)
        elif depth == 2:
            find_passage(heads, space, frequency)
            gather(heads, space, frequency, prefer=False)
        elif depth == 3:
            heads.value[1, :DIGITS] = space.asked.T
            carried = 0.5 * _pad(space.asked, head)
            look_back(heads, space, frequency, 1, 2, 1, carried)
        elif depth == 4:
            gather(heads, space, frequency, prefer=True)
    return space


class Heads(NamedTuple):
    """A layer's matrices by head: query [6, head, width], key and value [3, head, width], out
    [width, 6, head]. Query heads 0 and 1 read key and value 0, heads 2 and 3 read 1; the others
    are free."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    out: torch.Tensor


def _pad(columns: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.pad(columns, (0, size - columns.shape[1]))


def look_back(
    heads: Heads, space: Space, frequency: torch.Tensor, key: int, query: int, back: int,
    out: torch.Tensor,
) -> None:  # fmt: skip
    """Query head `query` looks `back` tokens back and writes what it finds through `out`."""
    fast = (frequency > FAST).float()
    heads.key[key] = torch.cat([fast, 0 * fast])[:, None] * space.shared.T
    turned = [fast * (back * frequency).cos(), -fast * (back * frequency).sin()]
    heads.query[query] = torch.cat(turned)[:, None] * space.shared.T
    heads.out[:, query] = out


def distances(fast: PreTrainedTokenizerFast) -> tuple[int, int]:
    """How far behind a sign of a comparison its two digits stand, in tokens."""
    whole, second = (len(fast.tokenize(text)) for text in (" 1134 and 1379:", "1379:"))
    return whole, second


def subtract(heads: Heads, space: Space, frequency: torch.Tensor, far: tuple[int, int]) -> None:
    """Heads 2 and 3 write the first number's digit minus the second's into `gap`."""
    heads.value[1, :DIGITS] = space.own[:, :DIGITS].T
    digits = torch.arange(DIGITS) - 4.5
    for query, back, sign in ((2, far[0], 1), (3, far[1], -1)):
        out = sign * GAP * _pad(space.gap * digits, heads.key.shape[1])
        look_back(heads, space, frequency, 1, query, back, out)
        heads.query[query] *= 2


def copy(heads: Heads, space: Space, frequency: torch.Tensor, prefer: bool) -> None:
    """Heads 0 and 1 go on as the prompt did behind the last token, or behind the last two; head 4
    looks for equal tokens (mimetic initialization, Trockman and Kolter 2023)."""
    slow = (frequency < SLOW).repeat(2).nonzero()[:, 0]
    follows, second, same = (
        torch.linalg.qr(torch.randn(size, len(slow)))[0].T
        for size in (space.last.shape[1], space.before.shape[1], len(slow))
    )
    follows, second = MATCH * follows, MATCH * second
    heads.key[0, slow] += follows @ space.last.T + second @ space.before.T
    heads.query[0, slow] += follows @ space.own.T
    heads.query[1, slow] += follows @ space.own.T + second @ space.last[:, -second.shape[1] :].T
    heads.out[:, :2] = 0.3 * _pad(space.own, heads.key.shape[1])[:, None]
    equal = MATCH * torch.linalg.qr(torch.randn(follows.shape[1], len(slow)))[0].T
    heads.key[2, slow] += equal @ space.own.T
    heads.query[4, slow] += equal @ space.own.T
    if prefer:
        same = SAME * same[:, :DIGITS]
        heads.key[0, slow] += same @ space.place.T
        heads.query[:2, slow] += same @ space.asked.T


def find_label(heads: Heads, space: Space) -> None:
    """Head 2 writes the digit of the latest label into `place`."""
    size = heads.key.shape[1]
    all_frequencies = torch.cat([torch.ones(size // 2), torch.zeros(size // 2)])[:, None]
    label = space.last[:, OPEN] + 0.63 * space.own[:, BREAK]
    heads.key[1] = LABEL * all_frequencies * label
    heads.query[2] = LABEL * all_frequencies * space.shared.T
    heads.value[1] = _pad(space.own, size).T
    heads.out[:, 2] = 0.3 * _pad(space.place, size)


def find_passage(heads: Heads, space: Space, frequency: torch.Tensor) -> None:
    """Heads 2 and 3 write the `place` of the same two tokens, and of the last two, into `asked`."""
    size = heads.key.shape[1]
    slow = (frequency < SLOWER).repeat(2).nonzero()[:, 0]
    this, that = (MATCH * torch.linalg.qr(torch.randn(CODE, len(slow)))[0].T for _ in range(2))
    heads.key[1, slow] += this @ space.own.T + that @ space.last.T
    heads.query[2, slow] += this @ space.own.T + that @ space.last.T
    rest = space.before.shape[1]
    heads.query[3, slow] += this @ space.last.T + that[:, -rest:] @ space.before.T
    heads.value[1, :DIGITS] = space.place.T
    heads.out[:, 2:4] = _pad(space.asked, size)[:, None]


def gather(heads: Heads, space: Space, frequency: torch.Tensor, prefer: bool) -> None:
    """Head 5 gathers what was told and writes it into `known`."""
    slow = (frequency < SLOW).repeat(2).nonzero()[:, 0]
    any_of, *same = torch.linalg.qr(torch.randn(len(slow), 1 + DIGITS))[0].split([1, DIGITS], 1)
    heads.key[2, slow] += GATHER * any_of * space.told.sum(1)
    heads.query[5, slow] += GATHER * any_of * space.shared.T
    heads.value[2, :ASPECTS] = space.told.T
    heads.out[:, 5] = 3 * _pad(space.known, heads.key.shape[1])
    if prefer:
        heads.key[2, slow] += SAME * same[0] @ space.place.T
        heads.query[5, slow] += SAME * same[0] @ space.asked.T
