"""Map-reduce over documents: one branch each, then one answer from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ramify.dsl.functions import lines
from ramify.dsl.operations import assistant, gen, user
from ramify.dsl.program import program
from ramify.dsl.value import Value

if TYPE_CHECKING:
    from ramify.dsl.state import State


@program
def map_reduce(
    s: State,
    documents: Sequence[str],
    question: str,
    map_tokens: int = 96,
    reduce_tokens: int = 192,
) -> Value:
    """Read every document for `question` side by side, then answer from the notes."""

    def read(branch: State, document: str) -> None:
        branch += user(f"Take notes from this text for the question.\n\n{document}")
        branch += assistant(gen("notes", max_tokens=map_tokens))

    s += user(f"The question will be: {question}")
    notes = s.each(list(documents), read)
    s += user("Notes:\n", lines(notes["notes"]), f"\n\nAnswer the question: {question}")
    s += assistant(gen("answer", max_tokens=reduce_tokens))
    return s["answer"]
