from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from ramify.backend.contract import Profile
from ramify.ir import Answer, Call, Generate, Graph, Prompt, Ref, Text
from ramify.planner import Account, Context, join, plan
from ramify.planner.explain import WIDTH, seconds
from tests.planner.graphs import programs, quick
from tests.planner.report import accounts, planned, report

PLAN = """\
report: 7 nodes

node            does         after                           prompt  cached  output seconds   start
───────────────────────────────────────────────────────────────────────────────────────────────────
found           retrieve 12                                       ·       ·       ·   0.010       0
outline         generate 96  found                              984       0      96    2.02   0.010
expand[0].text  generate 80  outline                          1,107   1,080      80    1.71    2.03
expand[1].text  generate 80  outline                          1,107   1,090      80    1.71    2.03
expand[2].text  generate 80  outline                          1,107   1,090      80    1.71    2.03
closing         generate 40  expand[*].text, outline          1,412   1,397      40    0.80    3.74
call#6          call lines   expand[0].text, closing              ·       ·       ·   0.010    4.54

tokens    5,717 of prompts, 4,657 of them cached (81%); 1,060 to compute, 376 to write
time      4.55 s; 7.65 s one after another; no schedule beats 4.44 s
critical  found → outline → expand[0].text → closing → call#6

drop_unused   exact    1 dropped: unused
merge_common  exact    nothing to do
fold_text     exact    1 joined to the text before
prioritize    exact    found first: 4.48 s of work wait for it"""

RUN = """\
report: 7 nodes

                            │          planned          │            happened
node            does        │ prompt cached   out     s │ prompt cached   out     s start
────────────────────────────┼───────────────────────────┼────────────────────────────────
found           retrieve 12 │      ·      ·     · 0.010 │      ·      ·     · 0.011     0
outline         generate 96 │    984      0    96  2.02 │    984      0    72  2.22 0.011
expand[0].text  generate 80 │  1,107  1,080    80  1.71 │  1,107    540    60  1.88  2.23
expand[1].text  generate 80 │  1,107  1,090    80  1.71 │ failed
expand[2].text  generate 80 │  1,107  1,090    80  1.71 │ merged
closing         generate 40 │  1,412  1,397    40  0.80 │ not run
call#6          call lines  │      ·      ·     · 0.010 │ not run

expand[1].text: failed: not done after 3 s.
outline: cut at max_tokens

                         planned    happened
prompt tokens              5,717       3,198
  of them cached      4,657  81%    540  17%
  computed                 1,060       2,658
output tokens                376         192
seconds                     4.55        4.11
"""


def test_a_plan() -> None:
    assert planned().explain() == PLAN


def test_a_run() -> None:
    made = planned()
    happened = accounts(made)
    del happened[5], happened[6]
    happened[1] = replace(happened[1], note="cut at max_tokens")
    happened[3] = replace(
        happened[3], status="failed", note="not done after 3 s.", cached_tokens=0, end_s=3.0
    )
    merged = {"prompt_tokens": 0, "cached_tokens": 0, "output_tokens": 0}
    happened[4] = replace(happened[4], status="merged", **merged)  # type: ignore[arg-type]
    text = made.explain(happened)
    assert text.startswith(RUN), text


def test_many_branches_are_a_few_and_the_rest() -> None:
    lines = planned(1000).explain().splitlines()
    assert len(lines) < 30
    (rest,) = [line for line in lines if line.startswith("…")]
    assert rest.split()[:5] == ["…", "996", "more", "996", "nodes"]


def test_branches_of_several_nodes_are_a_tree() -> None:
    graph = Graph("p")
    for branch in range(2):
        prompt = Prompt()
        for turn in ("draft", "final"):
            node = graph.next_id()
            scope = f"p/expand[{branch}]"
            graph.add(Generate(id=node, name=turn, scope=scope, prompt=prompt))
            prompt = prompt.append(Answer(node), Text(("again",)))
    graph.outputs = (Ref(1), Ref(3))
    lines = plan(graph, Context()).explain().splitlines()
    assert [line.split("  ")[0] for line in lines[4:10]] == [
        "expand[0]", "├ draft", "└ final", "expand[1]", "├ draft", "└ final",
    ]  # fmt: skip


def test_prices() -> None:
    profile = Profile(name="p", context=4096, price_input=2.0, price_output=10.0)
    made = plan(report(), Context(profiles={"": profile}))
    assert "price     0.00588" in made.explain()
    line = next(line for line in made.explain(accounts(made)).splitlines() if "price" in line)
    assert line.split() == ["price", "0.00588", "0.009598"]


def test_grown_nodes() -> None:
    context = Context()
    first = Graph("p")
    first.add(Generate(id=0, name="plan", prompt=Prompt()))
    first.outputs = (Ref(0),)
    later = Graph("p")
    later.add(Generate(id=1, name="act", prompt=Prompt().append(Answer(0))))
    later.outputs = (Ref(1),)
    plans = [plan(first, context)]
    context.done = {0}
    plans.append(plan(later, context))
    ran = {i: Account(status="done", start_s=i, end_s=i + 1, prompt_tokens=9) for i in range(2)}
    text = join(plans).explain(ran)
    assert text.startswith("p: 2 nodes, 1 of them grown in the run\n")
    (line,) = [line for line in text.splitlines() if line.startswith("act")]
    assert "grown │" in line
    assert line.split()[-5:] == ["9", "0", "0", "1.00", "1.00"]
    assert "planned: what was known before the run" in text


def test_seconds() -> None:
    assert [seconds(x) for x in (0, 0.0004, 0.05, 1.234, 99.99, 1234.5)] == [
        "0", "0", "0.050", "1.23", "99.99", "1,234",
    ]  # fmt: skip


@quick
@given(programs())
def test_lines_fit(graph: Graph) -> None:
    made = plan(graph, Context())
    for text in (made.explain(), made.explain(accounts(made))):
        assert all(len(line) <= WIDTH for line in text.splitlines())


def test_long_names_are_cut() -> None:
    graph = Graph("p")
    name = "a name that is much longer than any column could be " * 3
    scope = "p" + "/inside" * 60
    graph.add(Call(id=0, name=name, scope=scope, function=print))
    graph.add(Call(id=1, name=name + "2", scope=scope, function=print, args=(Ref(0),)))
    made = plan(graph, Context())
    for text in (made.explain(), made.explain(accounts(made))):
        assert all(len(line) <= WIDTH for line in text.splitlines())
