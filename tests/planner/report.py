"""The report program of the design, as a graph: retrieve, outline, points side by side, close."""

from __future__ import annotations

from ramify.ir import (
    Answer,
    Block,
    Call,
    Close,
    Generate,
    Graph,
    Open,
    Parallel,
    Prompt,
    Ref,
    Retrieve,
    Sampling,
    Text,
)
from ramify.planner import Account, Context, Plan, plan
from tests.planner.graphs import INDEX


def lines(*values: object) -> str:
    return "\n".join(map(str, values))


def report(points: int = 3) -> Graph:
    graph = Graph("report")
    add = graph.add
    state = Prompt().append(Open("system"), Text(("Answer from the passages.",)), Close("system"))
    add(Retrieve(id=0, name="found", scope="report", index=INDEX, query="harbour", k=12))
    state = state.append(Open("user"), Ref(0), Text(("\n\nHow did trade",)), Text((" change?",)))
    state = state.append(Close("user"), Open("assistant"))
    outline = Sampling(max_tokens=96)
    add(Generate(id=1, name="outline", scope="report", prompt=state, sampling=outline))
    state = state.append(Answer(1), Close("assistant"))
    blocks = []
    for i in range(points):
        point = Ref(1, ("points", i))
        branch = state.append(Open("user"), Text(("Write only this point: ",)), point)
        branch = branch.append(Close("user"), Open("assistant"))
        scope = f"report/expand[{i}]"
        short = Sampling(max_tokens=80)
        add(Generate(id=i + 2, name="text", scope=scope, prompt=branch, sampling=short))
        blocks.append(Block(state, branch.append(Answer(i + 2), Close("assistant"))))
    state = state.append(Parallel(tuple(blocks), "kv"), Open("user"), Text(("Close.",)))
    state = state.append(Close("user"), Open("assistant"))
    last = points + 2
    closing = Sampling(max_tokens=40)
    add(Generate(id=last, name="closing", scope="report", prompt=state, sampling=closing))
    add(Call(id=last + 1, scope="report", function=lines, args=(Ref(2), Ref(last)), pure=True))
    add(Call(id=last + 2, name="unused", scope="report", function=lines, pure=True))
    graph.outputs = (Ref(last + 1),)
    for _ in range(last + 3):
        graph.next_id()
    return graph


def planned(points: int = 3) -> Plan:
    return plan(report(points), Context())


def accounts(of: Plan) -> dict[int, Account]:
    """A run that took a tenth longer than planned."""
    return {
        i: Account(
            status="done",
            start_s=one.start_s * 1.1,
            end_s=one.end_s * 1.1,
            prompt_tokens=one.prompt_tokens,
            cached_tokens=one.cached_tokens // 2,
            output_tokens=one.output_tokens * 3 // 4,
        )
        for i, one in of.estimates.nodes.items()
    }
