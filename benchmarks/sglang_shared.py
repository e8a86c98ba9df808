"""Questions about twelve shared documents, as they come, where the server's cache holds four.

SGLang starts the rows as they come: documents are pushed out of the cache between their uses. Ours
puts rows that share a document next to each other, and opens no more than the cache holds.

    rag           SGLang's seconds over ours, with the number of threads that was best for it
    rag_auto      the same with its own number: a thread for each row
    rag_in_order  the same with the rows sorted by document before it is given them
    rag_limit     `rag` if our calls, in their order, were made by a client that does nothing else
                  (`the calls alone`): what the server's own time allows

The bar is 1.3. The difference is prefill that is done once (`computed`). Whoever sorts the rows by
hand, and finds the number of threads, has nearly the same from SGLang.

Needs what `sglang_frontend` needs.
"""

from __future__ import annotations

from benchmarks.frontends.match import ALONE, play
from benchmarks.frontends.settings import SHARED, Case
from benchmarks.harness import Options, Report


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where an environment is missing."""
    ratios: dict[str, float] = {}

    def done(case: Case, seconds: dict[str, float]) -> None:
        ours = seconds["ramify"]
        best = min(seconds[f"sglang, {threads}"] for threads in case.threads)
        ratios["rag"] = best / ours
        ratios["rag_auto"] = seconds["sglang, auto"] / ours
        ratios["rag_limit"] = best / seconds[ALONE]
        in_order = [seconds[f"sglang in order, {threads}"] for threads in case.threads_in_order]
        ratios["rag_in_order"] = min(in_order) / ours

    found, versions = play(SHARED, options, done)
    return Report("sglang_shared", found, ratios, versions)
