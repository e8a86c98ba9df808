"""Answers that fork, as a program asks for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forks:
    """Where the model writes the token `fork`, a child branches off that begins with `child`.

    Both are spelled; they must each be one token of the model (see backend/forks.py for the rest).
    """

    fork: str = "<|fork|>"
    child: str = "<|child|>"
    max_depth: int = 2
    max_branches: int = 16
    keep: bool = False  # keep the KV of finished children, which is otherwise freed at once
