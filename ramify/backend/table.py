"""The table of what each backend can do, made from what the backends declare.

`python -m ramify.backend.table FILE` writes it into a page, between its two marks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ramify.backend.contract import Capabilities

BEGIN = "<!-- capabilities: made by `make docs` -->"
END = "<!-- end of capabilities -->"
_MEANING = {
    "token_prompts": "token ids in and out",
    "prefix_cache": "prefix cache",
    "cached_token_counts": "says what was cached",
    "priorities": "priorities",
    "constraints": "constraints",
    "scores": "scores of continuations",
    "prompt_logprobs": "log-probabilities of prompts",
    "logprobs": "log-probabilities of answers",
    "token_bans": "banned tokens",
    "samples": "several samples in one request",
    "tools": "tool calls of its own",
    "fork_on_token": "fork on token",
    "parallel_blocks": "parallel blocks",
    "embeddings_in": "embeddings in",
    "promises": "keeps what plans read again",
}


def declared() -> Mapping[str, Capabilities]:
    """What every backend declares. Priorities of servers depend on how they were started, and
    some capabilities of the embedded engine on the model: the table shows the most there is."""
    from ramify.backend.fake import FakeBackend
    from ramify.backend.openai.dialect import HOSTED, LLAMACPP, SGLANG_TOKENS, TGI, VLLM
    from ramify.backend.openai.setup import text_abilities, token_abilities
    from ramify.backend.radix.backend import ABILITIES as RADIX
    from ramify.backend.vllm.backend import ABILITIES as IN_PROCESS

    return {
        "radix": RADIX,
        "vllm": IN_PROCESS,
        "openai: vLLM": token_abilities(VLLM, priorities=True),
        "openai: llama-server": token_abilities(LLAMACPP, priorities=False),
        "openai: SGLang": token_abilities(SGLANG_TOKENS, priorities=True),
        "openai: TGI": text_abilities(TGI),
        "openai: hosted": text_abilities(HOSTED),
        "fake": FakeBackend().capabilities,
    }


def table() -> str:
    """The table in Markdown, a column per backend."""
    backends = declared()
    lines = [
        "| | " + " | ".join(backends) + " |",
        "|---" * (len(backends) + 1) + "|",
    ]
    for item in fields(Capabilities):
        if item.name not in _MEANING:
            continue
        cells = [_cell(getattr(one, item.name)) for one in backends.values()]
        lines.append(f"| {_MEANING[item.name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "·"
    return "yes" if value else "·"


def with_table(page: str) -> str:
    """The page with the table between its marks. Raises ValueError where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r}")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text("utf-8")), "utf-8")
