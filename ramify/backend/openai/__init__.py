"""Any OpenAI-compatible server: vLLM, SGLang, llama.cpp, TGI, and hosted models."""

from ramify.backend.openai.backend import OpenAIBackend
from ramify.backend.openai.options import OpenAIOptions

__all__ = ["OpenAIBackend", "OpenAIOptions"]
