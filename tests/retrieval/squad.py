"""Real questions for the tests of retrieval and compression; they skip where the data is not."""

from __future__ import annotations

import gzip
import json
import random
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


class Asked(NamedTuple):
    question: str
    paragraph: str
    text: str
    answers: list[str]


@lru_cache(maxsize=1)
def _squad() -> list[list[Asked]]:
    path = DATA / "squad" / "dev-v1.1.half.json.gz"
    if not path.is_file():
        pytest.skip("../shared/data/squad is not here")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles: Any = json.load(file)["data"]
    return [
        [
            Asked(
                qa["question"],
                f"{article['title']}/{at}",
                paragraph["context"],
                [answer["text"] for answer in qa["answers"]],
            )
            for at, paragraph in enumerate(article["paragraphs"])
            for qa in paragraph["qas"]
        ]
        for article in articles
    ]


def squad(count: int, *, seed: int, paragraphs: int | None = None) -> list[Asked]:
    """`count` questions, of whole articles with together at most that many paragraphs."""
    rng = random.Random(seed)
    articles = list(_squad())
    rng.shuffle(articles)
    chosen: list[Asked] = []
    seen: set[str] = set()
    for article in articles:
        more = {asked.paragraph for asked in article}
        if paragraphs is not None and len(seen) + len(more) > paragraphs:
            continue
        seen |= more
        chosen += article
    return rng.sample(chosen, count)


def paragraphs_of(article_of: list[Asked]) -> dict[str, str]:
    """All paragraphs of the articles that the questions come from."""
    titles = {asked.paragraph.rpartition("/")[0] for asked in article_of}
    return {
        asked.paragraph: asked.text
        for article in _squad()
        for asked in article
        if asked.paragraph.rpartition("/")[0] in titles
    }


def twenty_passages() -> list[dict[str, Any]]:
    """The last 40 of 100 Natural Questions, each with its passage among 19 others; weights were
    chosen on the first 60.
    """
    path = DATA / "nq_open" / "20_documents.gold_at_9.first100.jsonl.gz"
    if not path.is_file():
        pytest.skip("../shared/data/nq_open is not here")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines][60:]
