"""Text cut into the stretches that become vectors: sentences, in the tokens of one model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from ramify.retrieval.sentences import sentence_spans

Encode = Callable[[str], Sequence[int]]


def segments(text: str, encode: Encode, reach: int) -> list[list[int]]:
    """The tokens of each sentence, each behind a space, as it stands in a prompt; of a sentence
    with more than `reach` tokens, parts of nearly equal length."""
    found: list[list[int]] = []
    for span in sentence_spans(text):
        ids = list(encode(" " + " ".join(span.of(text).split())))
        parts = -(-len(ids) // reach)
        cuts = [len(ids) * at // parts for at in range(parts + 1)] if ids else [0]
        found += [ids[start:stop] for start, stop in pairwise(cuts)]
    return found
