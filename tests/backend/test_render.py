"""Rendering: the prefix property, parallel blocks, memory, and the views for people."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramify.backend import FakeBackend, TokenPrompt, messages_view, text_view
from ramify.backend.chat import ChatFormat
from ramify.backend.render import Answered, Renderer
from ramify.errors import CapabilityError
from ramify.ir.prompt import (
    Answer,
    Block,
    Close,
    Open,
    Parallel,
    Prompt,
    Ref,
    Segment,
    Text,
)
from tests.backend import small_tokenizers as small
from tests.backend.test_chat import DEMO, GEMMA, LLAMA2, QWEN3, tokenizer

FORMATS = {"demo": DEMO, "qwen3": QWEN3, "llama2": LLAMA2, "gemma": GEMMA, "plain": None}
TEXTS = ("Hello", " there", "", "1 2", "<|end|>", "é😀", "\n", "a  b")


class Results:
    """Answers and texts by node; `branches` for dynamic joins."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.branches: dict[int, tuple[Block, ...]] = {}
        self.asked = 0

    def answer(self, node: int) -> Answered:
        self.asked += 1
        text = f" word{node}"
        end = tuple(sorted(self.renderer.end_ids)[:1]) if node % 3 == 0 else ()
        ids = self.renderer.tokenizer.encode(text) + end
        name = self.renderer.tokenizer.name if node % 2 else "another"
        return Answered(ids, text.strip(), name)

    def text(self, ref: Ref) -> str:
        return f"value {ref.node}"

    def piece(self, ref: Ref) -> str:
        return self.text(ref)

    def blocks(self, blocks: tuple[Block, ...] | Ref) -> tuple[Block, ...]:
        return self.branches[blocks.node] if isinstance(blocks, Ref) else blocks


def renderer_of(name: str) -> Renderer:
    if name == "fake":
        return FakeBackend().renderer
    ours = tokenizer(FORMATS[name])
    return Renderer(ours, ChatFormat.from_template(ours))


def naive(renderer: Renderer, results: Results, segments: list[Segment]) -> tuple[int, ...]:
    """The twin: one pass from the start, no memory, blocks one after another as they are."""
    prompt = Prompt().append(*segments)
    return renderer.rendering(results).render(prompt, for_answer=False).ids


class Maker:
    """Draws random prompts: messages, raw text, values, answers, joins of branches."""

    def __init__(self, rng: random.Random, results: Results) -> None:
        self.rng = rng
        self.results = results
        self.nodes = 0

    def grow(self, prompt: Prompt, steps: int, depth: int = 0) -> list[Prompt]:
        """Extensions of a prompt, each of the one before."""
        rng = self.rng
        found = [prompt]
        role: str | None = None
        for _ in range(steps):
            here = found[-1]
            self.nodes += 1
            kind = rng.randrange(8)
            if kind == 0 and role is not None:
                found.append(here.append(Close(role)))
                role = None
            elif kind <= 2 and role is None:
                role = rng.choice(("user", "assistant"))
                found.append(here.append(Open(role)))
            elif kind == 3:
                found.append(here.append(Ref(self.nodes)))
            elif kind == 4:
                found.append(here.append(Answer(self.nodes)))
            elif kind == 5 and depth < 2:
                found.append(here.append(self.join(here, depth)))
            else:
                texts = tuple(rng.choice(TEXTS) for _ in range(rng.randrange(1, 3)))
                found.append(here.append(Text(texts)))
        if role is not None and depth:
            found.append(found[-1].append(Close(role)))
        return found

    def join(self, here: Prompt, depth: int) -> Parallel:
        node = self.nodes
        blocks = tuple(
            Block(here, self.grow(here, self.rng.randrange(4), depth + 1)[-1])
            for _ in range(self.rng.randrange(3))
        )
        mode = self.rng.choice(("text", "kv"))
        if self.rng.random() < 0.5:
            return Parallel(blocks, mode)
        self.results.branches[node] = blocks
        return Parallel(Ref(node), mode)


def is_prefix(a: TokenPrompt, b: TokenPrompt) -> bool:
    return b.ids[: len(a)] == a.ids and b.blocks[: len(a.blocks)] == a.blocks


@pytest.mark.parametrize("name", [*FORMATS, "fake"])
def test_tokens_of_a_prompt_are_a_prefix_of_its_extensions(name: str) -> None:
    renderer = renderer_of(name)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 14))
    def check(seed: int, steps: int) -> None:
        rng = random.Random(seed)
        results = Results(renderer)
        chain = Maker(rng, results).grow(Prompt(), steps)
        rendering = renderer.rendering(results)
        order = list(range(len(chain)))
        rng.shuffle(order)
        seen = {number: rendering.render(chain[number], for_answer=False) for number in order}
        for number, prompt in enumerate(chain):
            here = seen[number]
            assert here.ids == naive(renderer, results, prompt.segments()), "memory changes nothing"
            assert rendering.count(prompt) == len(here)
            for later in range(number, len(chain)):
                assert is_prefix(here, seen[later])
            asked = rendering.render(prompt)
            assert is_prefix(here, asked)
            if number + 1 < len(chain) and type(chain[number + 1].segment) is Answer:
                assert is_prefix(asked, seen[number + 1]), "an answer goes on where it was asked"

    check()


@pytest.mark.parametrize("name", [*FORMATS, "fake"])
def test_parallel_blocks_are_the_tokens_of_their_branches(name: str) -> None:
    renderer = renderer_of(name)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        rng = random.Random(seed)
        results = Results(renderer)
        maker = Maker(rng, results)
        before = maker.grow(Prompt(), rng.randrange(5))[-1]
        blocks = tuple(Block(before, maker.grow(before, 3, 1)[-1]) for _ in range(3))
        rendering = renderer.rendering(results)
        outer = rendering.render(before, for_answer=False)
        joined = rendering.render(before.append(Parallel(blocks, "kv")), for_answer=False)
        at = len(outer)
        spans = [span for span in joined.blocks if span not in outer.blocks]
        for block in blocks:
            own = rendering.render(block.stop, for_answer=False).ids[len(outer) :]
            assert joined.ids[at : at + len(own)] == own
            if own:
                span = next(s for s in spans if (s.start, s.stop) == (at, at + len(own)))
                assert span.group >= len({s.group for s in outer.blocks})
            at += len(own)
        assert at == len(joined)
        as_text = rendering.render(before.append(Parallel(blocks)), for_answer=False)
        flat = [segment for block in blocks for segment in block.segments()]
        assert as_text.ids == naive(renderer, results, [*before.segments(), *flat])

    check()


def test_nested_groups_are_numbered_and_ordered() -> None:
    renderer = renderer_of("fake")
    root = Prompt().append(Open("user"), Text(("a",)))
    inner = root.append(
        Text(("b",)), Parallel(tuple(Block(root, root.append(Text((t,)))) for t in "cd"), "kv")
    )
    outer = root.append(
        Parallel((Block(root, inner), Block(root, root.append(Text(("e",))))), "kv"),
        Parallel((Block(root, root.append(Text(("f",)))),), "kv"),
    )
    found = renderer.rendering(Results(renderer)).render(outer)
    assert renderer.tokenizer.decode(found.ids) == "abcdef"
    assert [(s.start, s.stop, s.group) for s in found.blocks] == [
        (3, 6, 0),
        (4, 5, 1),
        (5, 6, 1),
        (6, 7, 0),
        (7, 8, 2),
    ]


def test_every_block_begins_where_its_branch_began() -> None:
    renderer = renderer_of("demo")
    rendering = renderer.rendering(Results(renderer))
    spell = renderer.tokenizer.spell
    fork = Prompt().append(Open("assistant"), Answer(3))  # which ends with its own end token
    blocks = tuple(
        Block(fork, fork.append(Close("assistant"), Open("user"), Text((text,)), Close("user")))
        for text in ("one", "two")
    )
    joined = rendering.render(fork.append(Parallel(blocks, "kv")))
    assert spell(joined.ids) == ("<|assistant|> word3<|end|><|user|> one<|end|><|user|> two<|end|>")
    passages = Prompt().append(Open("user"))
    blocks = tuple(Block(passages, passages.append(Text((text,)))) for text in ("one", "two"))
    joined = rendering.render(passages.append(Parallel(blocks, "kv"), Text(("end",))))
    assert spell(joined.ids) == "<|user|> one twoend"


def test_what_the_model_writes_follows_its_own_header() -> None:
    renderer = renderer_of("demo")
    results = Results(renderer)
    rendering = renderer.rendering(results)
    tip = Prompt().append(Open("user"), Text(("Hello",)), Close("user"), Open("assistant"))
    spell = renderer.tokenizer.spell
    asked = rendering.render(tip)
    assert spell(asked.ids) == "<|user|> Hello<|end|><|assistant|>"
    assert renderer.answer_tail(asked) == " "
    assert renderer.tokenizer.decode(renderer.encode_option("yes", asked)) == " yes"
    own = rendering.render(tip.append(Answer(1), Close("assistant")))
    assert spell(own.ids) == "<|user|> Hello<|end|><|assistant|> word1<|end|>"
    foreign = rendering.render(tip.append(Answer(2), Close("assistant")))
    assert spell(foreign.ids) == "<|user|> Hello<|end|><|assistant|> word2<|end|>"
    ended = rendering.render(tip.append(Answer(3), Close("assistant")))
    assert spell(ended.ids).count("<|end|>") == 2, "the answer's own end token is not doubled"
    begun = rendering.render(tip.append(Text(("It is",))))
    assert spell(begun.ids).endswith("<|assistant|> It is")
    assert renderer.answer_tail(begun) == ""
    assert renderer.encode_option(" so", begun) == renderer.tokenizer.encode(" so")


def test_every_part_of_a_text_is_tokenized_by_itself() -> None:
    renderer = renderer_of("demo")
    encode = renderer.tokenizer.encode
    prompt = Prompt().append(Open("user"), Text(("The har", "bour")), Text((" was",)))
    ids = renderer.rendering(Results(renderer)).render(prompt).ids
    assert ids[1:] == encode(" The har") + encode("bour") + encode(" was")


def test_an_empty_message_keeps_its_space() -> None:
    renderer = renderer_of("demo")
    prompt = Prompt().append(Open("user"), Text(("",)), Close("user"))
    ids = renderer.rendering(Results(renderer)).render(prompt).ids
    assert renderer.tokenizer.spell(ids) == "<|user|> <|end|>"


def test_a_raw_prompt_is_start_tokens_and_text() -> None:
    ours = small.unigram()
    renderer = Renderer(ours, ChatFormat.from_template(ours))
    rendering = renderer.rendering(Results(renderer))
    assert rendering.render(Prompt()).ids == ours.start_ids
    text = rendering.render(Prompt().append(Text(("the", "re")))).ids
    assert text == ours.start_ids + ours.encode("the", first=True) + ours.encode("re")
    answered = rendering.render(Prompt().append(Answer(1))).ids
    assert answered == ours.start_ids + ours.encode(" word1")


def test_long_and_deep_prompts_are_rendered_without_recursion() -> None:
    renderer = renderer_of("fake")
    results = Results(renderer)
    prompt = Prompt()
    for number in range(2500):
        prompt = prompt.append(Text((f"{number} ",)), Answer(1))
    assert len(renderer.rendering(results).render(prompt)) > 5000
    nested = Prompt().append(Text(("x",)))
    for _ in range(50):
        nested = nested.append(Parallel((Block(nested, nested.append(Text(("y",)))),), "kv"))
    block = nested
    for _ in range(200):
        block = Prompt().append(Parallel((Block(Prompt(), block),), "kv"))
    found = renderer.rendering(results).render(block)
    assert len(found.blocks) == 250


def test_each_segment_is_rendered_once() -> None:
    renderer = renderer_of("fake")
    results = Results(renderer)
    rendering = renderer.rendering(results)
    prompt = Prompt().append(*(Answer(1) for _ in range(50)))
    for number in range(20):
        rendering.render(prompt.append(Text((str(number),))))
    assert results.asked == 50


def test_a_missing_value_leaves_nothing_half_done() -> None:
    renderer = renderer_of("fake")
    results = Results(renderer)
    rendering = renderer.rendering(results)
    prompt = Prompt().append(Text(("a",)), Parallel(Ref(9)), Text(("b",)))
    with pytest.raises(KeyError):
        rendering.render(prompt)
    results.branches[9] = ()
    assert renderer.tokenizer.decode(rendering.render(prompt).ids) == "ab"


def test_a_role_that_the_template_lacks_is_refused_by_name() -> None:
    renderer = renderer_of("gemma")
    prompt = Prompt().append(Open("tool"), Text(("1",)), Close("tool"))
    with pytest.raises(CapabilityError, match="cannot write a tool message"):
        renderer.rendering(Results(renderer)).render(prompt)


def test_views_for_people_and_apis() -> None:
    results = Results(renderer_of("fake"))
    prompt = Prompt().append(
        Open("system"), Text(("Be ", "kind.")), Close("system"), Open("user"), Ref(4), Close("user")
    )
    side = prompt.append(Open("assistant"), Answer(1), Close("assistant"))
    results.branches[7] = (Block(prompt, side), Block(prompt, side))
    prompt = prompt.append(Parallel(Ref(7)), Text(("raw",)), Open("assistant"))
    assert text_view(prompt, results) == (
        "System: Be kind.\nUser: value 4\nAssistant: word1\nAssistant: word1\nrawAssistant: "
    )
    assert messages_view(prompt, results) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "value 4"},
        {"role": "assistant", "content": "word1"},
        {"role": "assistant", "content": "word1"},
        {"role": "user", "content": "raw"},
    ]
    assert messages_view(prompt.append(Text(("So",))), results)[-1] == {
        "role": "assistant",
        "content": "So",
    }
    assert messages_view(Prompt(), results) == [] and text_view(Prompt(), results) == ""
