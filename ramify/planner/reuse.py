"""Which part of a prompt an earlier node has computed: the plan's picture of the radix tree."""

from __future__ import annotations

from ramify.ir import Alias, Answer, Each, Graph, NodeId, Parallel, Prompt, Prompted
from ramify.planner.context import Context
from ramify.planner.sizes import ASKED, BRANCH, Sizes
from ramify.planner.work import find_works, trail


class Reuse:
    """Walks the prompts of nodes in the order of execution; each model has a cache of its own.

    Prompts are the same where their content is, be they one object or two. The cache is endless.
    """

    def __init__(self, graph: Graph, context: Context, sizes: Sizes) -> None:
        find_works(graph, context)
        self.graph = graph
        self.context = context
        self.sizes = sizes
        self._computed: set[tuple[str, bytes]] = set()

    def read(self, prompt: Prompt, model: str) -> tuple[int, int]:
        """Tokens of a prompt, and of its longest prefix that is computed already."""
        total = self.sizes.prompt(prompt)
        cached = 0
        for above in prompt.ancestors():
            found = self._found(above, model) or self._joined(above, model)
            self._computed.add((model, self._digest(above)))
            if found:
                cached = found
                break
        return total, min(cached, total)

    def fan_out(self, node: Each) -> tuple[int, int]:
        """The same for the branches of an `each`, as many as are guessed: one leads."""
        branches = self.sizes.values[node.id] // BRANCH
        start, cached = self.read(node.start, "")
        return branches * (start + ASKED), cached + (branches - 1) * start

    def _digest(self, prompt: Prompt) -> bytes:
        digest: bytes = trail(prompt, self.context)[0].digest()
        return digest

    def _found(self, prompt: Prompt, model: str) -> int:
        """Tokens of a prompt that was computed, or that ends in what the model wrote; else 0."""
        segment = prompt.segment
        wrote = type(segment) is Answer and self._model(segment.node) == model
        if wrote or (model, self._digest(prompt)) in self._computed:
            return self.sizes.prompt(prompt)
        return 0

    def _joined(self, prompt: Prompt, model: str) -> int:
        """Tokens of a prompt that ends in joined branches, as far as the branches computed them.

        Blocks that are kept apart are all there, but for what is repaired; of blocks in a row, the
        first continues its fork.
        """
        segment, parent = prompt.segment, prompt.parent
        if type(segment) is not Parallel or not isinstance(segment.blocks, tuple) or not parent:
            return 0
        fork = self._digest(parent)
        able = self.context.parallel_blocks
        apart = segment.mode == "kv" and (able is None or model in able)
        blocks = segment.blocks if apart else segment.blocks[:1]
        start = self.sizes.prompt(parent)
        tokens = repaired = 0
        for block in blocks:
            if self._digest(block.start) == fork:
                tokens += max(self._known_prefix(block.stop, model) - start - repaired, 0)
                repaired = segment.repair
        return start + tokens if tokens else 0

    def _known_prefix(self, prompt: Prompt, model: str) -> int:
        known = (self._found(above, model) for above in prompt.ancestors())
        return next((tokens for tokens in known if tokens), 0)

    def _model(self, node_id: NodeId) -> str | None:
        """The model that wrote an answer; it wrote it earlier, or the answer could not be read."""
        node = self.graph.nodes.get(node_id) or self.context.planned.get(node_id)
        while type(node) is Alias:
            node = self.graph.nodes.get(node.of) or self.context.planned.get(node.of)
        return node.model if isinstance(node, Prompted) else None
