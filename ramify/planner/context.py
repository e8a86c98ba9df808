"""What the passes know beside the graph, and what they remember while a run's graph grows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ramify.ir import Node, NodeId, Prompt
from ramify.planner.sizes import Sizes, rough_count

if TYPE_CHECKING:
    from ramify.backend.contract import Profile
    from ramify.planner.describe import Trail, Work


@dataclass(slots=True, eq=False)
class Context:
    """One per program run.

    `profiles` by model name ("" is the default backend). `done` holds the nodes whose results are
    known or on their way: a graph may read them without containing them. Those among them that
    failed or were cancelled are in `lost`: no equal work is merged with them. `count` gives the
    tokens of a text; only estimates call it, never the passes. `parallel_blocks` names the models
    whose backends keep joined branches as they are (None: all); others read them as text again.
    `load` gives the sequences that a model is busy with beside this run's.
    """

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    done: Collection[NodeId] = field(default_factory=set)
    lost: Collection[NodeId] = ()
    count: Callable[[str], int] = rough_count
    parallel_blocks: Collection[str] | None = None
    load: Callable[[str], int] = lambda model: 0

    # The run's memory: a node planned later shares what was folded and merged before.
    planned: dict[NodeId, Node] = field(default_factory=dict)  # plan() fills it
    sizes: Sizes = field(default_factory=lambda: Sizes(rough_count))  # prioritize fills it
    folded: dict[Prompt, Prompt] = field(default_factory=dict)  # fold_text fills it
    works: dict[NodeId, Work] = field(default_factory=dict)  # work.py fills these two
    trails: dict[Prompt, Trail | None] = field(default_factory=dict)
    firsts: dict[bytes, NodeId] = field(default_factory=dict)  # merge_common fills it

    def profile(self, model: str) -> Profile:
        """The cost model's numbers for a backend; guesses where it has no profile."""
        found = self.profiles.get(model)
        if found is None:
            from ramify.backend.contract import Profile

            found = Profile(name=model or "default", context=8192)
        return found
