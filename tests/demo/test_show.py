"""What `ramify demo` prints: texts are shown as they are, whatever brackets they hold."""

from __future__ import annotations

from typing import Any

import pytest

import ramify as rf
from ramify.demo.show import show
from ramify.retrieval import minilm


def test_brackets_in_texts_are_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def opened(spec: str) -> Any:
        asked.append(spec)
        return rf.FakeBackend(reply="It is [bold] and [/red] [1].")

    monkeypatch.setattr(rf, "open_backend", opened)
    monkeypatch.setattr(minilm, "missing", lambda: "sentence-transformers")
    show("Describe Oldworth [/red], please.", quick=True)
    said = capsys.readouterr().out
    assert 'pip install "ramify[retrieval]"' in said
    assert "Describe Oldworth [/red], please." in said
    assert said.count("It is [bold] and [/red] [1].") >= 10
    assert "5 questions, measured in this run" in said
    assert asked == ["demo", "demo?cache=false&max_batch=1"]
