"""A tokenizer, as it lies in a model's folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.openai import OpenAIBackend
from tests.backend.small_tokenizers import DEMO, byte_level

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> HFTokenizer:
    return byte_level(DEMO, template=TEMPLATE, end="<|end|>")


@pytest.fixture(scope="session")
def folder(tokenizer: HFTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.fast.save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(autouse=True)
async def all_closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Close every backend that a test opened."""
    made: list[OpenAIBackend] = []
    init = OpenAIBackend.__init__

    def remember(self: OpenAIBackend, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(OpenAIBackend, "__init__", remember)
    yield
    for backend in made:
        await backend.close()
