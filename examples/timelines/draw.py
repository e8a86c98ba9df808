"""Draw the timelines of docs/organize.md: each block behind a marker is written anew."""

import re
from pathlib import Path

import typer

from examples.timelines.runs import RUNS
from ramify.planner.steps import steps

PAGE = Path(__file__).parents[2] / "docs" / "organize.md"
_BLOCK = re.compile(
    r"(^<!-- timeline: (\w+) -->\n```text\n).*?(^```$)", re.DOTALL | re.MULTILINE
)


def drawn(page: str) -> str:
    """The page with its timelines as they are now. Raises KeyError for an unknown pattern."""

    def block(found: re.Match[str]) -> str:
        result = RUNS[found[2]]()
        assert result.plan is not None
        return f"{found[1]}{steps(result.plan, result.accounts)}\n{found[3]}"

    return _BLOCK.sub(block, page)


def main(page: Path = PAGE) -> None:
    """Write the page's timelines."""
    page.write_text(drawn(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
