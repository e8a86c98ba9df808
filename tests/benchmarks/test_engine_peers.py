"""The workloads, and the protocol with peers in other environments."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers import remote
from benchmarks.peers.remote import NoPeerError, Remote
from benchmarks.peers.workloads import BY_NAME, TABLE, Prompts, Workload, beginning, common

ECHO = """
from benchmarks.peers.serve import Peer, serve
class Echo(Peer):
    version = "1"
    def __init__(self, vocab):
        print("noise on standard output")
        self.vocab, self.add = vocab, 0
    def use(self, add):
        self.add = add
    def reset(self):
        print("more noise")
    def generate(self, prompts, count):
        return [[ids[-1] + self.add] * count for ids in prompts]
serve(Echo)
"""


@pytest.mark.parametrize("workload", BY_NAME.values(), ids=lambda w: w.name)
def test_workloads_are_as_large_as_they_say(workload: Workload) -> None:
    stages: list[tuple[Prompts, int]] = []

    def generate(prompts: Prompts, count: int) -> Prompts:
        stages.append((prompts, count))
        return [[7] * count for _ in prompts]

    workload.run(generate, 1000)
    assert sum(len(prompts) * count for prompts, count in stages) == workload.tokens
    assert max(len(prompts) for prompts, _ in stages) == workload.sequences
    longest = max(len(ids) + count for prompts, count in stages for ids in prompts)
    assert longest == workload.longest
    again = len(stages)
    workload.run(generate, 1000)
    assert stages[:again] == stages[again:], "the same ids every time"


def test_every_name_of_the_table_is_there() -> None:
    assert [workload.name for workload in TABLE] == [
        "shared_512x16", "shared_2048x16", "skeleton", "tree", "unrelated_16", "single_stream",
        "prefill_2048",
    ]  # fmt: skip


def test_common_beginnings() -> None:
    assert common([1, 2, 3], [1, 2, 4]) == 2
    assert common([1, 2], [1, 2, 4]) == 2
    assert common([5], [6]) == common([], [6]) == 0
    assert beginning([[1, 2, 3], [1, 2], [1, 2, 9]]) == [1, 2]
    for at in range(40):
        first, second = list(range(40)), list(range(40))
        second[at] = -1
        assert common(first, second) == at


def test_a_peer_answers_through_its_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its noise does not disturb the answers."""
    (tmp_path / ".venv-peers-echo" / "bin").mkdir(parents=True)
    (tmp_path / ".venv-peers-echo" / "bin" / "python").symlink_to(sys.executable)
    package = tmp_path / "benchmarks" / "peers"
    package.mkdir(parents=True)
    real = Path(remote.__file__).parent
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    for name in ("serve.py", "workloads.py"):
        (package / name).write_text((real / name).read_text("utf-8"))
    (package / "echo.py").write_text(ECHO)
    monkeypatch.setattr(remote, "ROOT", tmp_path)
    peer = Remote("echo", "echo", vocab=100)
    try:
        assert peer.version == "1"
        peer.prepare({"add": 1})
        assert peer.run("single_stream") == 128
    finally:
        peer.close()


def test_an_environment_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ROOT", tmp_path)
    with pytest.raises(NoPeerError, match="vllm is not installed: make bench-peers"):
        Remote("vllm", "vllm_peer")
