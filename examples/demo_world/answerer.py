"""The model behind plain transformers, answering many prompts greedily."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

Chat = list[dict[str, str]]


class Answerer:
    """A model folder, greedy, several prompts at once.

    Raises ValueError for a tokenizer that is not the weights' own, for a role without a control
    token, and for a prompt with more tokens than the context leaves room for.
    """

    def __init__(self, folder: Path, device: str = "cpu", batch: int = 32) -> None:
        self.device, self.batch = device, batch
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model = model.to(device).eval()
        known, rows = len(self.tokenizer), int(self.model.config.vocab_size)
        if known != rows:
            raise ValueError(
                f"the tokenizer in {folder} has {known} tokens, its weights {rows}: they are of "
                "different versions. Take both from one run."
            )
        self.end = int(self.model.config.eos_token_id)
        self.context = int(self.model.config.max_position_embeddings)

    def token(self, name: str) -> int:
        """The id of a control token."""
        known = self.tokenizer.get_added_vocab()
        if name not in known:
            raise ValueError(
                f"the tokenizer has no control token {name!r}. It has: {', '.join(sorted(known))}."
            )
        return int(known[name])

    def encode(self, chat: Chat) -> list[int]:
        """The prompt of a chat; text in it that looks like a control token stays text."""
        ids: list[int] = []
        for message in chat:
            ids.append(self.token(f"<|{message['role']}|>"))
            ids += self.tokenizer.encode(
                " " + message["content"], add_special_tokens=False, split_special_tokens=True
            )
            ids.append(self.end)
        return [*ids, self.token("<|assistant|>")]

    def decode(self, ids: list[int]) -> str:
        """The text, without control tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def write(self, prompts: list[list[int]], tokens: int) -> list[list[int]]:
        """Greedy continuations of at most `tokens` tokens, in the order given, without the end."""
        longest = max((len(prompt) for prompt in prompts), default=0)
        if longest + tokens > self.context:
            raise ValueError(
                f"a prompt of {longest} tokens and an answer of {tokens} do not fit into the "
                f"context of {self.context}: shorten the passages or retrieve fewer."
            )
        order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
        written: list[list[int]] = [[] for _ in prompts]
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            for at, ids in zip(
                part, self._write([prompts[at] for at in part], tokens), strict=True
            ):
                written[at] = ids
        return written

    @torch.no_grad()
    def _write(self, prompts: list[list[int]], tokens: int) -> list[list[int]]:
        pad = int(self.model.config.pad_token_id)
        wide = max(map(len, prompts))
        ids = torch.tensor([[pad] * (wide - len(one)) + one for one in prompts])
        mask = torch.tensor([[0] * (wide - len(one)) + [1] * len(one) for one in prompts])
        out = self.model.generate(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device),
            max_new_tokens=tokens,
        )  # fmt: skip
        rows = out[:, wide:].tolist()
        return [row[: row.index(self.end)] if self.end in row else row for row in rows]

    def ask(self, chats: list[Chat], tokens: int = 32) -> list[str]:
        """Greedy answers of at most `tokens` tokens."""
        return [self.decode(ids) for ids in self.write([self.encode(one) for one in chats], tokens)]
