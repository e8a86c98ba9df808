"""Training the linear router: logistic regression by Newton's method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The weights of a wrong yes and of a wrong no, as in SoT-R's training loss.
WRONG_YES, WRONG_NO = 0.7, 0.3
L2 = 0.003  # by five-fold cross-validation on the WizardLM questions


@dataclass(frozen=True, slots=True)
class Fitted:
    """A linear model: `rows @ weights + bias` is the log-odds of yes."""

    weights: NDArray[np.float64]
    bias: float

    def yes(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows are over a half."""
        found: NDArray[np.bool_] = rows @ self.weights + self.bias > 0
        return found


def fit(rows: NDArray[Any], labels: Sequence[int], *, l2: float = L2) -> Fitted:
    """Fit `rows` [n, d] to 0/1 `labels`.

    Both classes count the same however many there are of each, times what being wrong about them
    costs. The bias is not held back.
    """
    y = np.asarray(labels, dtype=np.float64)
    cost = np.where(y == 1, WRONG_NO / max(y.sum(), 1), WRONG_YES / max((1 - y).sum(), 1))
    x = np.hstack([np.asarray(rows, dtype=np.float64), np.ones((len(y), 1))])
    held = np.full(x.shape[1], l2)
    held[-1] = 1e-9
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -60, 60)))
        gradient = x.T @ (cost * (p - y)) + held * beta
        curvature = (x * (cost * p * (1 - p))[:, None]).T @ x + np.diag(held)
        step = np.linalg.solve(curvature, gradient)
        beta -= step
        if np.abs(step).max() < 1e-9:
            break
    return Fitted(beta[:-1], float(beta[-1]))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How right a router was; "suits" is yes."""

    right_yes: int
    wrong_yes: int
    right_no: int
    wrong_no: int

    @classmethod
    def of(cls, said: Sequence[bool] | NDArray[np.bool_], labels: Sequence[int]) -> Verdicts:
        pairs = [(bool(s), bool(label)) for s, label in zip(said, labels, strict=True)]
        return cls(*(pairs.count(pair) for pair in
                     ((True, True), (True, False), (False, False), (False, True))))  # fmt: skip

    @property
    def accuracy(self) -> float:
        total = self.right_yes + self.wrong_yes + self.right_no + self.wrong_no
        return (self.right_yes + self.right_no) / max(total, 1)

    @property
    def precision(self) -> float:
        return self.right_yes / max(self.right_yes + self.wrong_yes, 1)

    @property
    def recall(self) -> float:
        return self.right_yes / max(self.right_yes + self.wrong_no, 1)

    @property
    def cost(self) -> float:
        """Mean cost a question: what training held down. Always-no and always-yes have theirs."""
        no = self.right_no + self.wrong_yes
        yes = self.right_yes + self.wrong_no
        return WRONG_YES * self.wrong_yes / max(no, 1) + WRONG_NO * self.wrong_no / max(yes, 1)
