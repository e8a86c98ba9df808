"""The notebook runs from top to bottom, in a kernel whose event loop is running."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

TOUR = Path(__file__).parents[2] / "examples" / "tour.ipynb"


def read() -> Any:
    return nbformat.read(TOUR, as_version=4)


def outputs(notebook: Any, source: str) -> list[Any]:
    """The outputs of the first code cell that contains `source`."""
    return next(c.outputs for c in notebook.cells if c.cell_type == "code" and source in c.source)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    notebook = read()
    resources = {"metadata": {"path": str(tmp_path_factory.mktemp("tour"))}}
    NotebookClient(notebook, timeout=60, resources=resources).execute()
    return notebook


def test_it_is_committed_without_outputs() -> None:
    notebook = read()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_every_cell_runs(ran: Any) -> None:
    for cell in ran.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text


@pytest.mark.parametrize("source", ['plan = essay.compile("old harbours")\nplan', "result"])
def test_plan_and_result_show_themselves_as_html(ran: Any, source: str) -> None:
    shown = next(cell.outputs for cell in ran.cells if cell.source == source)[-1].data
    page = shown["text/html"]
    assert "<svg" in page and "outline" in page and shown["text/plain"].strip()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)  # nothing is loaded


def test_its_cells_say_what_they_promise(ran: Any) -> None:
    scopes = outputs(ran, "astream")[0].text
    assert "essay/expand[0]" in scopes and "closing" in scopes
    table = outputs(ran, "result.explain()")[0].text
    assert all(name in table for name in ("title", "outline", "text", "closing"))
    rows, prompt, cached = (
        int(word) for word in outputs(ran, "run_batch")[0].text.split() if word.isdigit()
    )
    assert rows == 100 and 0 < cached < prompt
