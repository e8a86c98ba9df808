"""A backend without a model, for tests and planning: deterministic, counts prefix hits."""

from ramify.backend.fake.backend import Call, FakeBackend
from ramify.backend.word_tokenizer import WordTokenizer

__all__ = ["Call", "FakeBackend", "WordTokenizer"]
