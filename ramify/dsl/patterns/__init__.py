"""Patterns: ordinary programs, written in the language itself."""

from ramify.dsl.patterns.best_of_n import best_of_n
from ramify.dsl.patterns.debate import debate
from ramify.dsl.patterns.first_k import first_k
from ramify.dsl.patterns.fork_tokens import fork_tokens
from ramify.dsl.patterns.map_reduce import map_reduce
from ramify.dsl.patterns.plan_execute import plan_execute
from ramify.dsl.patterns.react import react
from ramify.dsl.patterns.self_consistency import self_consistency
from ramify.dsl.patterns.skeleton_graph import GraphWords, skeleton_graph
from ramify.dsl.patterns.skeleton_of_thought import SkeletonWords, skeleton_of_thought
from ramify.dsl.patterns.sub_calls import sub_calls
from ramify.dsl.patterns.tree_of_thought import tree_of_thought
from ramify.dsl.patterns.use_tools import use_tools
from ramify.ir import Forks

__all__ = [
    "Forks",
    "GraphWords",
    "SkeletonWords",
    "best_of_n",
    "debate",
    "first_k",
    "fork_tokens",
    "map_reduce",
    "plan_execute",
    "react",
    "self_consistency",
    "skeleton_graph",
    "skeleton_of_thought",
    "sub_calls",
    "tree_of_thought",
    "use_tools",
]
