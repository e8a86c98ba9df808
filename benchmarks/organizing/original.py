"""Skeleton-of-Thought as it was published: all points in one left-padded batch, nothing shared."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Contender
from benchmarks.organizing.workload import TITLES, Answer
from benchmarks.peers.huggingface import greedy
from ramify.dsl.patterns.skeleton_of_thought import SkeletonWords


class Original:
    """Two calls of `generate`: the skeleton, then a batch with a whole prompt per point.

    The texts are ours, so both sides read and write the same; the prompts of the points repeat
    question and skeleton, as the original's do.
    """

    def __init__(self, model: Any, tokenizer: Any, prompt: str, answer: Answer) -> None:
        self.model = model
        self.answer = answer
        words = SkeletonWords()
        self.ask = self._ids(tokenizer, f"{prompt}\n{words.skeleton}")
        self.points = [
            self._ids(tokenizer, words.point.format(number=i, title=TITLES[i - 1]))
            for i in range(1, answer.points + 1)
        ]
        self.computed = 0  # prompt tokens, padding not counted

    def _ids(self, tokenizer: Any, text: str) -> list[int]:
        messages = [{"role": "user", "content": text}]
        found: list[int] = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False
        )
        return found

    def contender(self) -> Contender:
        return Contender(f"original sot, hf {self.answer.name}", self.run)

    def run(self) -> list[list[int]]:
        (skeleton,) = self._generate([self.ask], self.answer.skeleton_tokens)
        prompts = [[*self.ask, *skeleton, *point] for point in self.points]
        self.computed = len(self.ask) + sum(map(len, prompts))
        return self._generate(prompts, self.answer.tokens)

    def _generate(self, prompts: list[list[int]], count: int) -> list[list[int]]:
        import torch

        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        with torch.inference_mode():
            found = self.model.generate(
                ids, attention_mask=mask, generation_config=greedy(count)
            )
        answers: list[list[int]] = found[:, longest:].tolist()
        return answers
