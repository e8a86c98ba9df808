"""A backend without a model: deterministic, no torch, counts prefix hits. For tests and planning."""

from ramify.backend.fake.backend import Call, FakeBackend
from ramify.backend.fake.tokenizer import WordTokenizer

__all__ = ["Call", "FakeBackend", "WordTokenizer"]
