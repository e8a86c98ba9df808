"""vLLM's engine as a backend in this process (its core runs in one of its own)."""

from ramify.backend.vllm.backend import VLLMBackend
from ramify.backend.vllm.options import VLLMOptions

__all__ = ["VLLMBackend", "VLLMOptions"]
