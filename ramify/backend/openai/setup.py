"""From options to the parts of an `openai:` backend: ask the server, choose the wire."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import httpx

from ramify.backend.chat import ChatFormat
from ramify.backend.contract import Capabilities
from ramify.backend.openai.completions import CompletionSteps, TokenWire
from ramify.backend.openai.dialect import SGLANG_TOKENS, Dialect
from ramify.backend.openai.llama_server import LlamaWire
from ramify.backend.openai.options import HOSTED, OpenAIOptions
from ramify.backend.openai.probe import Probe, Server, guess
from ramify.backend.openai.sglang import SGLangSteps, SGLangWire
from ramify.backend.openai.text import TextWire
from ramify.backend.openai.wire import Steps, Wire
from ramify.backend.render import Renderer
from ramify.backend.word_tokenizer import WordTokenizer
from ramify.errors import BackendError, CapabilityError, ModelLoadError

_HOSTED_LEAST = 1024  # tokens: the shortest prefix that the hosted service caches


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a backend is made of."""

    server: Server
    wire: Wire
    renderer: Renderer
    capabilities: Capabilities
    least_shared: int  # tokens: a shorter common beginning is not worth waiting for
    why_text: str = ""
    steps: Steps | None = None  # scores behind a cached prompt; None: options as whole prompts


def assemble(options: OpenAIOptions, transport: httpx.BaseTransport | None = None) -> Parts:
    """Ask the server and choose. Raises what `Probe` raises, and BackendError where the wire that
    was asked for cannot be had."""
    if not options.probe:
        if options.wire == "tokens":
            raise BackendError("tokens need a probe.", hint="Leave probe=false out.")
        return _text(
            options,
            guess(options),
            completions=options.wire == "text",
            tools=options.tools is not False,
            why="not probed",
        )
    headers = dict(options.headers)
    if options.key:
        headers["Authorization"] = f"Bearer {options.key}"
    with Probe(options, headers, transport) as probe:
        server = probe.server()
        why = "asked to"
        if options.wire in ("auto", "tokens"):
            renderer, why = _renderer(options, server)
            if renderer is not None:
                why = probe.takes_tokens(server, renderer.tokenizer)
                if not why:
                    priorities = options.priorities
                    if priorities is None:
                        priorities = probe.takes_priorities(server)
                    steps = _steps(server, probe, renderer)
                    return _tokens(options, server, renderer, steps, priorities=priorities)
            if options.wire == "tokens":
                raise CapabilityError(
                    f"requests cannot travel as tokens: {why}.",
                    hint="Name the folder of the model's tokenizer with tokenizer=, or leave "
                    "wire=tokens out.",
                )
        server = probe.with_forms(server)
        completions = options.wire != "chat" and probe.has_completions(server)
        tools = options.tools
        if tools is None:
            tools = probe.takes_tools(server)
        return _text(options, server, completions=completions, tools=tools, why=why)


def _renderer(options: OpenAIOptions, server: Server) -> tuple[Renderer | None, str]:
    """The model's own renderer; None and why, where it is not on this machine."""
    if importlib.util.find_spec("transformers") is None:
        return None, "transformers is not installed here (pip install 'ramify[engine]')"
    from ramify.backend.hf_tokenizer import HFTokenizer

    places = [options.tokenizer] if options.tokenizer else [server.root, server.model]
    why = "the model's tokenizer is not on this machine"
    for place in dict.fromkeys(place for place in places if place):
        if not options.tokenizer and Path(place).is_absolute() and not Path(place).is_dir():
            continue
        try:
            tokenizer = HFTokenizer.load(place)
        except ModelLoadError as error:
            if options.tokenizer:
                raise
            said = error.what.splitlines()[0]
            why = f"the model's tokenizer is not on this machine ({said})"
            continue
        return Renderer(tokenizer, ChatFormat.from_template(tokenizer)), ""
    return None, why


def _steps(server: Server, probe: Probe, renderer: Renderer) -> Steps | None:
    """How options are scored without computing the prompt again for each."""
    if server.dialect.name == "sglang":
        return SGLangSteps()
    if server.dialect.name == "vllm":
        steps = CompletionSteps(server.model)
        return steps if probe.takes_steps(steps, renderer.tokenizer) else None
    return None


def _tokens(
    options: OpenAIOptions,
    server: Server,
    renderer: Renderer,
    steps: Steps | None,
    *,
    priorities: bool,
) -> Parts:
    dialect = server.dialect
    context = options.context or server.context or 8192
    wire: Wire
    if dialect.name == "llamacpp":
        wire = LlamaWire(dialect, renderer, context)
    elif dialect.name == "sglang":
        wire = SGLangWire(renderer, context)
        dialect = SGLANG_TOKENS
    else:
        wire = TokenWire(server.model, dialect, renderer, context)
    return Parts(
        server=server,
        wire=wire,
        renderer=renderer,
        capabilities=token_abilities(dialect, priorities=priorities),
        least_shared=64,
        steps=steps,
    )


def _text(
    options: OpenAIOptions, server: Server, *, completions: bool, tools: bool, why: str
) -> Parts:
    tokenizer = WordTokenizer()
    dialect = server.dialect
    hosted = options.base == HOSTED
    wire = TextWire(
        model=server.model,
        dialect=dialect,
        tokenizer=tokenizer,
        completions=completions,
        limit_field="max_completion_tokens" if hosted else "max_tokens",
        cache_hints=options.cache_hints,
        reasoning=options.reasoning,
        tools=tools,
    )
    return Parts(
        server=server,
        wire=wire,
        renderer=Renderer(tokenizer, tokenizer.chat_format()),
        capabilities=text_abilities(dialect, tools=tools),
        least_shared=_HOSTED_LEAST if hosted else 64,
        why_text=why,
    )


def token_abilities(dialect: Dialect, *, priorities: bool) -> Capabilities:
    """What a server can that requests reach as tokens."""
    return Capabilities(
        prefix_cache=dialect.prefix_cache,
        cached_token_counts=True,
        priorities=priorities,
        constraints=frozenset(dialect.constraints),
        scores=dialect.scores,
        prompt_logprobs=dialect.prompt_logprobs,
        logprobs=True,
        samples=dialect.name == "vllm",
    )


def text_abilities(dialect: Dialect, *, tools: bool = True) -> Capabilities:
    """What a server can that requests reach as text."""
    return Capabilities(
        token_prompts=False,
        prefix_cache=dialect.prefix_cache,
        cached_token_counts=True,
        constraints=frozenset(dialect.constraints),
        samples=dialect.name != "llamacpp",
        tools=tools,
    )
