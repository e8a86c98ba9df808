"""The programs of `sglang_frontend` where the server's cache holds a few rows or documents only.

SGLang starts the rows as they come, as many at once as it has threads: documents are pushed out of
the cache between their uses. Ours puts rows that share a document next to each other, opens no more
than the server says that its cache holds, and lets calls of rows under way go before first calls.

    PROGRAM          SGLang's seconds over ours, with the number of threads that was best for it
    PROGRAM_auto     the same with its own number: a thread for each row
    rag_in_order     the same with the rows sorted by document before it is given them

The bar is 1.3. Questions about twelve documents, as they come, of which the cache holds four, are
over it (2.4, most of it prefill that is done once): nothing else is with the best number of
threads. Whoever sorts the rows by hand as well has nearly the same from SGLang (1.08). In the other
three programs each row has a document of its own and the server spends its time writing, which is
the same work for both: 1.02 for skeletons, 1.06 for the tree, 0.93 for the panel, where SGLang's
four threads find as much in the cache as we do (why ours is slower there is not known). With a
thread for each row it is 1.12, 1.50 and 1.22.

Where the difference comes from, by prompt tokens computed of 117,360 (one run each, 32 rows at
once): priority by critical path alone 57,904, first come first served 41,200, rows that have begun
first 36,400, and no more rows open than fit 13,456.

Needs what `sglang_frontend` needs.
"""

from __future__ import annotations

from benchmarks.frontends.match import play
from benchmarks.frontends.settings import PRESSED, Case
from benchmarks.harness import Options, Report


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where an environment is missing."""
    ratios: dict[str, float] = {}

    def done(case: Case, seconds: dict[str, float]) -> None:
        best = min(seconds[f"sglang, {threads}"] for threads in case.threads)
        ratios[case.program] = best / seconds["ramify"]
        ratios[f"{case.program}_auto"] = seconds["sglang, auto"] / seconds["ramify"]
        for threads in case.threads_in_order:
            sorted_s = seconds[f"sglang in order, {threads}"]
            ratios[f"{case.program}_in_order"] = sorted_s / seconds["ramify"]

    found, versions = play(PRESSED, options, done)
    return Report("sglang_pressed", found, ratios, versions)
