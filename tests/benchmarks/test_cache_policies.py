"""The replay of a trace, on a trace of eight requests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.cache_policies import contenders, replay
from benchmarks.harness import MissingDataError
from benchmarks.harness.curves import curves
from benchmarks.harness.traces import MOONCAKE, Prompts, mooncake


@pytest.fixture
def prompts(tmp_path: Path) -> Prompts:
    (tmp_path / "traces").mkdir()
    asked = [[0, 1, 2], [0, 3], [0, 4, 5], [0, 1, 2, 6], [0, 7, 8], [0, 3, 9], [0, 1, 2, 6], [0]]
    with gzip.open(tmp_path / "traces" / MOONCAKE, "wt") as file:
        for hashes in asked:
            length = 512 * len(hashes) - 64
            file.write(json.dumps({"hash_ids": hashes, "input_length": length}) + "\n")
    return mooncake(tmp_path, 8)


def test_blocks_become_token_runs_that_share_what_they_shared(prompts: Prompts) -> None:
    assert prompts.distinct == 10 and prompts.block == 32
    first, second = prompts.tokens[:2]
    assert len(first) == 3 * 32 - 4 and len(second) == 2 * 32 - 4
    assert (first[:32] == second[:32]).all() and not set(first[32:]) & set(second[32:])
    assert prompts.blocks_of(3) == [0, 1, 2, 6]


def test_perfect_knowledge_is_the_bound(prompts: Prompts) -> None:
    for slots in (160, 200, 320):
        found = {}
        for name, make in contenders(prompts, slots).items():
            cache, seconds = replay(prompts, slots, *make())
            cache.check([])
            found[name] = cache.hits
            assert seconds > 0
        assert found["bound"] == max(found.values())
    assert len(set(found.values())) == 1  # everything fits


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="traces"):
        mooncake(tmp_path, 5)


def test_curves_are_a_picture_with_a_line_and_a_name_for_each() -> None:
    drawn = curves("T & t", "x", "y", (5, 10, 25), {"a": [0.1, 0.2, 0.3], "b": [0.1, 0.1, 0.3]})
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root if element.tag.endswith("text")]
    assert {"a", "b", "T & t", "5", "25"} <= set(texts)
    assert sum(element.tag.endswith("polyline") for element in root) == 2
