"""Routing by one pass of the model that will answer: the odds of three letters.

The question of SoT-R's prompt router (arXiv 2307.15337, appendix), in words of our own; instead of
decoding a letter, the probabilities of all three are read, so that a doubtful yes can be a no.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = ("A", "B", "C")


@dataclass(frozen=True, slots=True)
class PromptRouter:
    """Asked on a branch behind the question, whose prefix it shares; no model file.

    Only A suits: in B, points lean on each other, and C is no list. `bias` is taken from the
    log-probability of A: over 0 it says no more often.
    """

    bias: float = 0.7
    request: str = (
        "Do not answer yet. Which of these is the best answer? A: a list of points that can be "
        "written independently. B: a list of points, each of which builds on the one before. "
        "C: something other than a list. Reply with one letter."
    )
    name: str = "prompt"

    def chance(self, logprobs: Sequence[float]) -> float:
        """The chance of A among the three letters, from their log-probabilities."""
        shifted = [logprobs[0] - self.bias, *logprobs[1:]]
        top = max(shifted)
        weights = [math.exp(one - top) for one in shifted]
        return weights[0] / sum(weights)
