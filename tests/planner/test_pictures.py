"""Pictures and HTML: well formed, escaped, the same every time, and with nothing from outside."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from ramify.ir import Call, Generate, Graph, Prompt, Ref
from ramify.planner import Context, Plan, plan
from ramify.planner.boxes import layout
from ramify.planner.draw import svg
from ramify.planner.html import html_of
from ramify.planner.timeline import ticks, timeline
from tests.planner.graphs import programs, quick
from tests.planner.report import accounts, planned

NASTY = """<script>alert("x")</script> & 'quotes' `ticks` #35;"""


def _nasty() -> Plan:
    graph = Graph(NASTY)
    graph.add(Generate(id=0, name=NASTY, scope=f"{NASTY}/{NASTY}", prompt=Prompt()))
    graph.add(Call(id=1, name="x]-->y", function=print, args=(Ref(0),)))
    return plan(graph, Context())


def _texts(picture: str) -> str:
    return " ".join(ElementTree.fromstring(picture).itertext())


def test_the_graph() -> None:
    picture = svg(planned())
    words = _texts(picture)
    for name in ("found", "outline", "expand[2].text", "closing", "retrieve 12", "call lines"):
        assert name in words
    assert picture.count("<rect") == 7
    assert picture.count('stroke-width="1.8"') == 4  # the critical path has five nodes
    assert svg(planned()) == picture


def test_many_alike_are_one_box() -> None:
    picture = svg(planned(1000))
    assert picture.count("<rect") == 5
    assert "expand[*].text x1000" in _texts(picture)


def test_too_many_boxes_are_not_drawn() -> None:
    graph = Graph("p")
    for i in range(500):
        graph.add(Call(id=i, name=f"call {i}", function=print))
    made = plan(graph, Context())
    assert layout(made) is None
    assert svg(made) == ""
    assert "<table>" in html_of(made)


def test_boxes_do_not_overlap() -> None:
    placed = layout(planned(5))
    assert placed is not None
    spots = {(box.column, box.row) for box in placed.boxes.values()}
    assert len(spots) == len(placed.boxes)
    for source, reader in placed.edges:
        assert placed.boxes[source].column < placed.boxes[reader].column


@settings(quick, max_examples=12)
@given(programs())
def test_every_graph_can_be_drawn(graph: Graph) -> None:
    made = plan(graph, Context())
    picture = svg(made)
    if picture:
        ElementTree.fromstring(picture)
    assert svg(plan(graph, Context())) == picture
    ElementTree.fromstring(timeline(made, accounts(made)))
    json.dumps(made.to_json(accounts(made)))
    assert made.to_mermaid().startswith("flowchart LR\n")


def test_the_bars() -> None:
    made = planned()
    happened = accounts(made)
    assert timeline(made).count("<rect") == 7
    assert timeline(made, happened).count("<rect") == 14
    happened[3] = replace(happened[3], status="failed")
    assert timeline(made, happened).count("#ef4444") == 1
    ElementTree.fromstring(timeline(plan(Graph("p"), Context())))


@pytest.mark.parametrize("end", [0.001, 0.9, 1.0, 7.3, 99.0, 1000.0])
def test_ticks_are_few_and_round(end: float) -> None:
    found = ticks(end)
    assert found[0] == 0
    assert found[-1] <= end * (1 + 1e-9)
    assert 4 <= len(found) <= 10


def test_html_holds_everything_and_fetches_nothing() -> None:
    made = planned()
    bundle = made._repr_mimebundle_()
    assert bundle["text/plain"] == made.explain()
    html = html_of(made, accounts(made))
    for page in (bundle["text/html"], html):
        assert "drop_unused" in page
        assert "expand[1].text" in page
        links = set(re.findall(r"https?://[^\"' <]+", page))
        assert links == {"http://www.w3.org/2000/svg"}  # a name, not an address
        assert "<script" not in page
        assert "url(" not in page
    assert html.count("<svg") == 2
    assert bundle["text/html"].count("<svg") == 1


def test_names_are_escaped_everywhere() -> None:
    made = _nasty()
    happened = {i: replace(a, note=NASTY, status="failed") for i, a in accounts(made).items()}
    for page in (html_of(made), html_of(made, happened), svg(made), timeline(made, happened)):
        assert "<script" not in page
    ElementTree.fromstring(svg(made))
    source = made.to_mermaid()
    assert "<script" not in source
    assert all(line.count('"') in (0, 2) for line in source.splitlines())
    assert "x]--" not in source.replace("x]--#62;y", "")


def test_mermaid() -> None:
    source = planned(2).to_mermaid()
    assert '    n2["expand[0].text<br/>generate 80"]' in source
    assert "    n1 ==> n2" in source
    assert "    n1 --> n3" in source


def test_json() -> None:
    made = planned()
    found = json.loads(json.dumps(made.to_json(accounts(made))))
    assert found["program"] == "report"
    assert [node["name"] for node in found["nodes"]][:2] == ["found", "outline"]
    assert found["nodes"][1]["reads"] == [0]
    assert found["nodes"][1]["planned"]["prompt_tokens"] == 984
    assert found["nodes"][1]["happened"]["output_tokens"] == 72
    assert found["passes"][1]["name"] == "drop_unused"
    assert made.to_json()["nodes"][1]["happened"] is None
