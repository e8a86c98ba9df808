"""Fold neighbouring constant text of prompts into one segment."""

from __future__ import annotations

from dataclasses import fields, replace

from ramify.ir import (
    Block,
    Branch,
    Each,
    First,
    Generate,
    Graph,
    Node,
    Parallel,
    Prompt,
    Prompted,
    Score,
    Segment,
    Select,
    Text,
    View,
)
from ramify.planner.context import Context
from ramify.planner.passes import Rewrite, legal
from ramify.planner.trie import ends, fill, joints


@legal("exact")
def fold_text(graph: Graph, context: Context) -> Rewrite:
    """Make one `Text` of texts that follow each other where no prompt ends or parts between.

    The parts stay apart, so no token changes, and prompts that shared a prefix share one after.
    The context remembers what each prompt became; a graph holds only nodes not planned before.

    Before: Text("a") Text("b") Open Text("c"). After: Text("a", "b") Open Text("c").
    """
    nodes = list(graph.nodes.values())
    roots = [node.prompt for node in nodes if isinstance(node, Prompted)]
    blocks = [b.block for node in nodes if type(node) is First for b in node.branches]
    roots += [end for block in blocks for end in (block.start, block.stop)]
    roots += [node.start for node in nodes if type(node) is Each]  # branches will fork there
    if _nothing_folds(roots, context.folded):
        return Rewrite(graph)
    folding = _Folding(context.folded)
    folding.fold(roots, blocks)
    folded = [folding.node(node) for node in nodes]
    if all(new is old for new, old in zip(folded, nodes, strict=True)):
        return Rewrite(graph)
    note = f"{folding.texts} joined to the text before" if folding.texts else ""
    return Rewrite(graph.with_nodes(folded), folding.texts, note)


def _nothing_folds(roots: list[Prompt], folded: dict[Prompt, Prompt]) -> bool:
    """Whether all prompts stay what they are, which is then remembered: the usual case, one walk.

    `folded` is left alone where something folds.
    """
    new: dict[Prompt, Prompt] = {}
    inner: set[Prompt] = set()  # prompts between two texts
    joints: set[Prompt] = set()
    stack = roots
    while stack:
        joints.update(stack)
        ends_of_blocks: list[Prompt] = []
        for prompt in stack:
            text_follows = False
            while prompt not in new:
                known = folded.get(prompt)
                if known is not None:
                    if known is not prompt:
                        return False
                    break
                new[prompt] = prompt
                kind = type(prompt.segment)
                if kind is Text:
                    if text_follows:
                        inner.add(prompt)
                    text_follows = True
                else:
                    text_follows = False
                    if kind is Parallel:
                        ends_of_blocks += ends(prompt.segment)  # type: ignore[arg-type]
                if prompt.parent is None:
                    break
                prompt = prompt.parent
            joints.add(prompt)
        stack = ends_of_blocks
    if inner - joints:
        return False
    folded.update(new)
    return True


class _Folding:
    """What the pass carries along: `folded` maps prompts to what they became."""

    def __init__(self, folded: dict[Prompt, Prompt]) -> None:
        self.folded = folded
        self.texts = 0  # how many went into the one before them

    def fold(self, roots: list[Prompt], blocks: list[Block]) -> None:
        """Find the folded forms of all roots and of what they join; `blocks` are cut out of them.

        A block whose start was folded away before is folded anew, its start first. What is above
        a block's start stays, so going by depth no block is broken by a later one.
        """
        while True:
            found, joined = joints(roots, self.folded)
            stale = []
            for block in sorted(blocks + joined, key=lambda block: block.start.depth):
                stale += self.renew(block)
            if not stale:
                break
            roots = roots + stale
        fill(found, self.folded, self.make)

    def make(self, prompt: Prompt, base: Prompt | None, run: list[Segment]) -> Prompt:
        """The folded form of a prompt whose base is folded already; itself where nothing folds."""
        if base is None:
            return prompt
        folded: list[Segment] = []
        texts: list[str] = []  # parts of the texts that precede, where they are two or more
        changed = self.folded[base] is not base
        for segment in run:
            if type(segment) is Text and folded and type(folded[-1]) is Text:
                texts = texts or list(folded[-1].parts)
                texts += segment.parts
                self.texts += 1
                continue
            if texts:
                folded[-1] = Text(tuple(texts))
                texts = []
            folded.append(self.segment(segment))
            changed = changed or folded[-1] is not segment
        if texts:
            folded[-1] = Text(tuple(texts))
        if changed or len(folded) < len(run):
            return self.folded[base].append(*folded)
        return prompt

    def segment(self, segment: Segment) -> Segment:
        if type(segment) is not Parallel or type(segment.blocks) is not tuple:
            return segment
        blocks = tuple(self.block(block) for block in segment.blocks)
        if all(new is old for new, old in zip(blocks, segment.blocks, strict=True)):
            return segment
        return Parallel(blocks, segment.mode, segment.repair)

    def block(self, block: Block) -> Block:
        start, stop = self.folded[block.start], self.folded[block.stop]
        if start is block.start and stop is block.stop:
            return block
        return Block(start, stop)

    def node(self, node: Node) -> Node:
        if isinstance(node, Prompted):
            prompt = self.folded[node.prompt]
            return node if prompt is node.prompt else _with_prompt(node, prompt)
        if type(node) is Each:
            start = self.folded[node.start]
            return node if start is node.start else replace(node, start=start)
        if type(node) is First:
            branches = tuple(self.branch(branch) for branch in node.branches)
            if any(new is not old for new, old in zip(branches, node.branches, strict=True)):
                return replace(node, branches=branches)
        return node

    def branch(self, branch: Branch) -> Branch:
        block = self.block(branch.block)
        return branch if block is branch.block else Branch(block, branch.names)

    def renew(self, block: Block) -> list[Prompt]:
        """Forget the prompts of a block that were folded before anything ended at its start.

        Their folded forms run past the start, so that the block could not be cut out of them.
        """
        start = self.folded.get(block.start)
        stale = []
        prompt: Prompt | None = block.stop
        while prompt is not None and prompt is not block.start:
            folded = self.folded.get(prompt)
            if folded is not None:
                if start is not None and folded.starts_with(start):
                    break  # everything between was folded from this very start
                stale.append(prompt)
            prompt = prompt.parent
        for prompt in stale:
            del self.folded[prompt]
        return stale


_fields: dict[type[Node], tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name != "prompt")
    for kind in (Generate, Score, Select, View)
}


def _with_prompt(node: Prompted, prompt: Prompt) -> Prompted:
    """dataclasses.replace, in half the time."""
    if type(node) not in _fields:
        return replace(node, prompt=prompt)
    new = object.__new__(type(node))
    for name in _fields[type(node)]:
        object.__setattr__(new, name, getattr(node, name))
    object.__setattr__(new, "prompt", prompt)
    return new
