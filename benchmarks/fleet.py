"""What routing by prefix finds: two replicas against one with twice the memory.

1,000 programs of two calls over 50 shared pages, on fake replicas whose prefix caches are bounded:
what is counted is prompt tokens that were found, not time. The ratio of `fleet` is its hit rate
over 0.95 of the single replica's; `round_robin` is for comparison, the same replicas in turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ramify as rf
from benchmarks.harness import Options, Report
from ramify.backend.fleet import Fleet, Replica, Router

PAGES = 50
MEMORY = 16_000  # tokens of one replica: about half of the pages


@rf.program
def look_up(s: rf.State, page: str, question: str) -> Any:
    """A question about a page, and a second one."""
    s += rf.system("You answer from the page. " + f"Page {page}: harbour trade and fish. " * 40)
    s += rf.user(question)
    s += rf.assistant(rf.gen("a", max_tokens=12))
    s += rf.user("Are you sure?")
    s += rf.assistant(rf.gen("b", max_tokens=12))
    return rf.lines(s["a"], s["b"])


class InTurns(Router):
    """Each replica in turn, whatever it knows."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0

    def choose(
        self, replicas: Sequence[Replica], ids: Any, salt: str = "", without: Any = ()
    ) -> tuple[Replica | None, int]:
        self._turn += 1
        return replicas[self._turn % len(replicas)], 0


def pair(router: Router | None = None) -> Fleet:
    """Two replicas with the memory of one each."""
    fleet = Fleet(
        [rf.FakeBackend(f"r{i}", cache_tokens=MEMORY, max_batch=16) for i in range(2)],
        cache_tokens=MEMORY,
    )
    if router is not None:
        fleet._router = router
    return fleet


def run(options: Options) -> Report:
    count = 300 if options.quick else 1_000
    rows = [{"page": f"{(i * 7919) % PAGES}", "question": f"question {i}"} for i in range(count)]
    found, rates = [], {}
    for name, backend in (
        ("single", rf.FakeBackend(cache_tokens=2 * MEMORY, max_batch=32)),
        ("fleet", pair()),
        ("round_robin", pair(InTurns())),
    ):
        results = look_up.run_batch(rows, backend=backend, concurrency=32, window=64)
        assert not results.failed, results.failed
        usage = results.usage
        rates[name] = usage.cached_tokens / usage.prompt_tokens
        served = [one.served for one in backend.replicas] if isinstance(backend, Fleet) else []
        found.append(
            {
                "contender": name,
                "programs": count,
                "prompt tokens": usage.prompt_tokens,
                "hit rate": rates[name],
                "requests": "/".join(map(str, served)) or str(2 * count),
            }
        )
    ratios = {
        "fleet": rates["fleet"] / (0.95 * rates["single"]),
        "over_round_robin": rates["fleet"] / rates["round_robin"],
    }
    return Report("fleet", found, ratios)
