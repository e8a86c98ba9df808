"""Fork tokens (APAR; Liu et al., arXiv 2401.06761): the model itself says where to branch.

For models that were trained to. Where one writes its fork token, a child branches off with the KV
of all that stands before, and writes the detail while its parent goes on with the next heading. No
one plans, nothing is computed twice, and a finished child's KV is freed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ramify.dsl.operations import Gen, assistant, system, user
from ramify.dsl.patterns.skeleton import need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value
from ramify.ir import Forks, Sampling

if TYPE_CHECKING:
    from ramify.dsl.state import State


TRAINED = Forks()  # the tokens of the demo model


@program
def fork_tokens(
    s: State,
    question: str,
    system_text: str = "",
    max_tokens: int = 256,
    forks: Forks = TRAINED,
    model: str = "",
) -> Value:
    """Answer `question` with a model that forks; the value is the text in the order of reading.

    `max_tokens` bounds every path from the root to a leaf. A backend that cannot fork gets a new
    request at every fork: the same tree and the same text. Raises CapabilityError for a model
    without the tokens that `forks` names, ProgramError for an empty question.
    """
    need_question(question, "fork_tokens")
    if system_text:
        s += system(system_text)
    s += user(question)
    s += assistant(Gen("answer", Sampling(max_tokens=max_tokens), model=model, forks=forks))
    return s["answer"]
