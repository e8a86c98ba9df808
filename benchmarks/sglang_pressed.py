"""Programs of `sglang_frontend` behind documents of their own, where the cache holds a few rows.

SGLang starts the rows as they come, as many at once as it has threads. Ours opens as many as the
cache holds of what they need on the average of their run, and calls of rows under way go before
first calls.

    PROGRAM          SGLang's seconds over ours, with the number of threads that was best for it
    PROGRAM_auto     the same with its own number: a thread for each row
    PROGRAM_limit    PROGRAM if our calls, in their order, were made by a client that does nothing
                     else (`the calls alone`): what the server's own time allows

The bar is 1.3. With a thread for each row SGLang has documents pushed out of the cache between
their uses, and is slower by more than that in two of three; the best number of threads, which one
has to find by trying, leaves little. There both compute each document once and write the same
tokens, which is what the server's time goes into: `computed` prompt tokens at about 0.08 ms, and
`steps` of decoding at about 3.4 ms and 0.15 ms for each sequence in them. The number of steps is
what a frontend can lower, by having more rows under way; what all rows hold over their time bounds
it. Alone, a row runs for 107, 83 and 106 steps (skeleton, tree, panel) and holds 32, 33 and 27 of
the 160 blocks on their average. With every block in use in every step all rows would thus need
172, 136 and 179 steps instead of the 259, 253 and 236 measured, and PROGRAM would be 1.23, 1.32 and
1.19. Whole rows do not pack like that: with one more row at a time and nothing lost by it, steps
come to 224, 209 and 236, and PROGRAM to 1.13, 1.18 and 1.06. One more row does lose: documents are
computed again (8,800 tokens in place of 7,900; 14,700 of 11,900; 18,000 of 12,300), which costs
what the steps gain. These counts are of vLLM's scheduler in virtual time, worked out beside this
benchmark; for our runs and the best of SGLang it counts steps within 3 % and tokens within 7 %.

Needs what `sglang_frontend` needs.
"""

from __future__ import annotations

from benchmarks.frontends.match import ALONE, play
from benchmarks.frontends.settings import PRESSED, Case
from benchmarks.harness import Options, Report


def run(options: Options) -> Report:
    """Measure. Raises MissingDataError where an environment is missing."""
    ratios: dict[str, float] = {}

    def done(case: Case, seconds: dict[str, float]) -> None:
        best = min(seconds[f"sglang, {threads}"] for threads in case.threads)
        ratios[case.program] = best / seconds["ramify"]
        ratios[f"{case.program}_auto"] = seconds["sglang, auto"] / seconds["ramify"]
        ratios[f"{case.program}_limit"] = best / seconds[ALONE]

    found, versions = play(PRESSED, options, done)
    return Report("sglang_pressed", found, ratios, versions)
