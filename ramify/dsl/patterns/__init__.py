"""Patterns: ordinary programs, written in the language itself."""

from ramify.dsl.patterns.map_reduce import map_reduce
from ramify.dsl.patterns.react import react
from ramify.dsl.patterns.self_consistency import self_consistency
from ramify.dsl.patterns.skeleton_of_thought import skeleton_of_thought
from ramify.dsl.patterns.tree_of_thought import tree_of_thought

__all__ = ["map_reduce", "react", "self_consistency", "skeleton_of_thought", "tree_of_thought"]
