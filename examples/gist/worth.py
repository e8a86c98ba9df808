"""Where the pointers of a gist head begin: at what of a text is worth a vector.

Learned from in the first minutes only; then answers alone decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
ANSWER = 4.0  # the worth of a token that is part of an answer


def longest(part: Sequence[int], answers: Sequence[Sequence[int]]) -> range:
    """The longest stretch of a segment that stands in one of the answers; its last one."""
    best = range(0)
    for answer in answers:
        runs = [0] * (len(answer) + 1)  # length of the common run that ends here and there
        for at, token in enumerate(part):
            last = 0
            for other, wanted in enumerate(answer, 1):
                run = last + 1 if token == wanted else 0
                last, runs[other] = runs[other], run
                if run >= max(len(best), 1):
                    best = range(at + 1 - run, at + 1)
    return best


def worth(
    part: Sequence[int], answers: Sequence[Sequence[int]], of: Mapping[int, float]
) -> list[float]:
    """How much each token of a segment is worth: `of` it, 1 where that says nothing, and most
    where it belongs to an answer."""
    found = [of.get(token, 1.0) for token in part]
    for at in longest(part, answers):
        found[at] = ANSWER
    return found


def targets(worths: Sequence[float], count: int) -> Tensor:
    """Where the first three pointers of each of `count` vectors should point, [3, count]: at the
    tokens worth most, in their order; at the token before each; at the one worth most outside of
    answers, if it is worth more than 1."""
    best = sorted(range(len(worths)), key=lambda at: (-worths[at], at))
    kept = sorted(best[:count])
    words = [at for at in best if 1.0 < worths[at] < ANSWER]
    word = words[0] if words else IGNORED
    return torch.tensor([kept, [at - 1 if at else IGNORED for at in kept], [word] * count])


def pointing_loss(scores: Tensor, wanted: Sequence[Tensor]) -> Tensor:
    """Cross-entropy of the first three pointers' scores [S, pointers, K, T] for the targets of each
    segment."""
    wide = scores.shape[2]
    rows = torch.stack([F.pad(one, (0, wide - one.shape[1]), value=IGNORED) for one in wanted])
    return F.cross_entropy(scores[:, :3].flatten(0, 2), rows.flatten(), ignore_index=IGNORED)
