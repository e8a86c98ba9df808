"""Which questions suit an answer in parts: the linear router on labels that it never saw.

The labelled questions of SoT-R: 218 of WizardLM, 80 of Vicuna; yes means that the answer is a list
of independent points. Trained on one set and measured on the other, in both directions, beside a
router that always says yes and one that always says no. A wrong yes costs quality, a wrong no only
time: `cost` weighs them 0.7 and 0.3 per question of its class, as in training. The one number that
was chosen by looking, the strength of the regularization, was chosen on WizardLM alone.

Ratios: the cost of the better of always-yes and always-no over the router's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Options, Report
from benchmarks.harness.data import data_folder
from examples.router.train import load
from ramify.router.fit import Verdicts, fit

SETS = ("wizardlm", "vicuna")


def row(trained: str, tested: str, who: str, found: Verdicts) -> Mapping[str, Any]:
    """A line of the table; numbers are shares of one."""
    return {
        "trained on": trained,
        "tested on": tested,
        "router": who,
        "accuracy": found.accuracy,
        "precision": found.precision,
        "recall": found.recall,
        "said yes": found.right_yes + found.wrong_yes,
        "wrong yes": found.wrong_yes,
        "wrong no": found.wrong_no,
        "cost": found.cost,
    }


def run(options: Options) -> Report:
    """Train and measure in both directions."""
    from ramify.retrieval.minilm import MiniLM

    folder = data_folder(options.data, "router")
    embedder = MiniLM()
    tables = {name: load(folder / f"{name}.csv") for name in SETS}
    rows_of = {name: embedder.embed(tables[name][0], kind="query") for name in SETS}
    rows: list[Mapping[str, Any]] = []
    ratios = {}
    for trained, tested in (SETS, SETS[::-1]):
        labels = tables[tested][1]
        model = fit(rows_of[trained], tables[trained][1])
        found = Verdicts.of(model.yes(rows_of[tested]), labels)
        always = {
            "always yes": Verdicts.of([True] * len(labels), labels),
            "always no": Verdicts.of([False] * len(labels), labels),
        }
        rows.append(row(trained, tested, "linear", found))
        rows += [row("", tested, who, verdicts) for who, verdicts in always.items()]
        ratios[f"{trained}_to_{tested}"] = min(one.cost for one in always.values()) / found.cost
    return Report("router", rows, ratios)
