"""SGLang's frontend in its own environment: `python -m benchmarks.peers.sglang_peer`.

Its OpenAI backend in the setting that does the least work: plain completions, so that the server
renders no messages, and no stop strings. `run_batch` with as many threads as it is told, or as many
as it chooses ("auto").
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import tiktoken


def offline_tokenizer() -> None:
    """SGLang asks tiktoken for a tokenizer that would be downloaded, and that only constrained
    integers and choices use; these programs have none."""
    made = tiktoken.Encoding(
        "bytes",
        pat_str=r"(?s:.)",
        mergeable_ranks={bytes([i]): i for i in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )

    def one(_: str) -> Any:
        return made

    tiktoken.encoding_for_model = tiktoken.get_encoding = one


def main() -> None:
    offline_tokenizer()
    import sglang
    from sglang.lang.chat_template import ChatTemplate, get_chat_template

    from benchmarks.frontends import sglang_programs, workload

    task = json.loads(sys.stdin.readline())
    chatml = get_chat_template("chatml")
    template = ChatTemplate(
        name="plain", default_system_prompt=None,
        role_prefix_and_suffix=chatml.role_prefix_and_suffix,
    )  # fmt: skip
    backend = sglang.OpenAI(
        task["model"], is_chat_model=False, chat_template=template,
        base_url=task["url"], api_key="none",
    )  # fmt: skip
    print("RESULT " + json.dumps({"version": sglang.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        rows = getattr(workload, asked["make"])(asked["run"], asked["rows"])
        program = getattr(sglang_programs, asked["program"])
        gc.collect()
        states = program.run_batch(
            rows, temperature=0, backend=backend, num_threads=asked["threads"]
        )
        texts = [state.ret_value for state in states]
        print("RESULT " + json.dumps({"texts": texts}), flush=True)


if __name__ == "__main__":
    main()
