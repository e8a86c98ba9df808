"""A request in vLLM's words."""

from __future__ import annotations

import json
from typing import Any

from ramify.backend.answer import end_tokens
from ramify.backend.contract import Request, TokenLogprobs
from ramify.backend.render import Renderer
from ramify.ir.sampling import Constraint

_FIELDS = {"schema": "json", "regex": "regex", "grammar": "grammar"}


def sampling_params(
    vllm: Any, renderer: Renderer, request: Request, *, room: int, deltas: bool, stream: bool
) -> Any:
    """`SamplingParams` of a request.

    Texts are made on our side (`detokenize=False`), so stop strings are looked for there too.
    `deltas` asks for what is new instead of everything at the end; without `stream` only the first
    token and the rest.
    """
    kinds = vllm.sampling_params.RequestOutputKind
    sampling = request.sampling
    options: dict[str, Any] = {
        "n": request.samples,
        "max_tokens": min(sampling.max_tokens, room),
        "min_tokens": min(sampling.min_tokens, room),
        "temperature": sampling.temperature,
        "stop_token_ids": sorted(end_tokens(renderer, request)),
        "ignore_eos": sampling.ignore_end,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "detokenize": False,
        "output_kind": kinds.DELTA if deltas else kinds.FINAL_ONLY,
    }
    if deltas and not stream and not sampling.stop:
        options["stream_interval"] = max(1, sampling.max_tokens)
    if sampling.temperature > 0:
        options |= {
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "seed": sampling.seed,
        }
    if sampling.logprobs:
        options["logprobs"] = sampling.logprobs
    if request.constraint is not None:
        outputs = vllm.sampling_params.StructuredOutputsParams
        options["structured_outputs"] = outputs(**_constraint(request.constraint))
    return vllm.SamplingParams(**options)


def _constraint(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind == "choices":
        return {"choice": list(constraint.choices)}
    text: Any = constraint.text
    return {_FIELDS[constraint.kind]: json.loads(text) if constraint.kind == "schema" else text}


def logprobs_of(output: Any, wanted: int) -> tuple[TokenLogprobs, ...]:
    """What an output says of its tokens, at most `wanted` alternatives each."""
    if not wanted or not output.logprobs:
        return ()
    found = []
    for token, row in zip(output.token_ids, output.logprobs, strict=True):
        ranked = sorted(((i, float(one.logprob)) for i, one in row.items()), key=lambda p: -p[1])
        found.append(TokenLogprobs(token, float(row[token].logprob), tuple(ranked[:wanted])))
    return tuple(found)
