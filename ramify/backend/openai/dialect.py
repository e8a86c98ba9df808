"""What each kind of server calls things: the same request in the dialects in use.

Sources: the request schemas of vLLM 0.32, SGLang 0.5, llama.cpp's server, TGI 3 and of the hosted
chat and completions API.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ramify.errors import CapabilityError
from ramify.ir.sampling import Constraint, ConstraintKind, Sampling

Body = dict[str, Any]
Spell = Callable[[Constraint], Body]
MOST_URGENT_S = 1e9  # beyond this all priorities are alike; servers take 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one kind of server wants to be asked.

    `options` names the sampling options beyond the common ones; `constraints` spells constraints.
    `neutral` is what has to be said where nothing is asked for, because the server would put the
    model's own defaults or its own in that place.
    `salt`, `priority`: the field, or "" where there is none. `go_on`: what makes the server write
    on in the last message; None where it cannot. `ids`: what makes it tell token ids.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    neutral: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[ConstraintKind, Spell] = field(default_factory=dict)
    wrapped_choices: bool = False  # choices travel as a schema {"answer": ...}
    salt: str = ""
    priority: str = ""
    urgent_is_high: bool = False  # else the lower number goes first
    go_on: Mapping[str, Any] | None = None
    ids: Mapping[str, Any] | None = None
    scores: bool = False
    prompt_logprobs: bool = False
    prefix_cache: bool = False
    tool_role: bool = True

    def sampling(self, sampling: Sampling) -> Body:
        """The sampling options as fields. Raises CapabilityError for one that does not exist."""
        body: Body = {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
        body |= self.neutral
        if sampling.temperature > 0:
            body["top_p"] = sampling.top_p
            if sampling.seed is not None:
                body["seed"] = sampling.seed
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        for name in ("frequency_penalty", "presence_penalty"):
            if getattr(sampling, name):
                body[name] = getattr(sampling, name)
        for name, default in _EXTRA.items():
            value = getattr(sampling, name)
            if value == default or (sampling.temperature == 0 and name in ("top_k", "min_p")):
                continue
            if name not in self.options:
                raise CapabilityError(
                    f"a server of kind {self.name!r} has no option {name}.",
                    hint="Leave it out here, or use the embedded engine ('radix:PATH').",
                )
            body[self.options[name]] = list(value) if isinstance(value, tuple) else value
        return body

    def urgency(self, priority: float) -> int:
        """The server's number for a priority in seconds."""
        number = math.ceil(min(priority, MOST_URGENT_S) * 1000)
        return number if self.urgent_is_high else -number

    def constraint(self, constraint: Constraint | None) -> Body:
        """The fields that enforce a constraint. Raises CapabilityError where there are none."""
        if constraint is None:
            return {}
        spell = self.constraints.get(constraint.kind)
        if spell is None:
            able = ", ".join(sorted(self.constraints)) or "none"
            raise CapabilityError(
                f"a server of kind {self.name!r} cannot enforce a {constraint.kind}.",
                hint=f"It can enforce: {able}.",
            )
        return spell(constraint)


_EXTRA: Mapping[str, Any] = {
    "min_tokens": 0,
    "top_k": 0,
    "min_p": 0.0,
    "stop_ids": (),
    "ignore_end": False,
    "repetition_penalty": 1.0,
}
_SAME = {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"}
_NEUTRAL: Body = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
_VLLM_OPTIONS = _SAME | {
    "min_tokens": "min_tokens",
    "stop_ids": "stop_token_ids",
    "ignore_end": "ignore_eos",
}


def choices_regex(constraint: Constraint) -> str:
    """One of the choices, as a regex."""
    return "|".join(f"({re.escape(choice)})" for choice in constraint.choices)


def _nested(field_name: str, inner: str, value: Callable[[Constraint], Any]) -> Spell:
    return lambda constraint: {field_name: {inner: value(constraint)}}


def _schema(constraint: Constraint) -> Any:
    return json.loads(constraint.text)


def _text(constraint: Constraint) -> str:
    return constraint.text


def _list(constraint: Constraint) -> list[str]:
    return list(constraint.choices)


def _json_format(schema: Any, *, strict: bool = True) -> Body:
    inner = {"name": "answer", "schema": schema, "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": inner}}


def _json_object(schema: Any) -> Body:
    return {"response_format": {"type": "json_object", "schema": schema}}


def _choice_form(constraint: Constraint) -> Body:
    choice = {"type": "string", "enum": list(constraint.choices)}
    return {
        "type": "object",
        "properties": {"answer": choice},
        "required": ["answer"],
        "additionalProperties": False,
    }


def _gbnf(constraint: Constraint) -> Body:
    spelled = (json.dumps(choice, ensure_ascii=False) for choice in constraint.choices)
    return {"grammar": f"root ::= {' | '.join(spelled)}"}


VLLM = Dialect(
    name="vllm",
    options=_VLLM_OPTIONS,
    neutral=_NEUTRAL,
    constraints={
        "schema": _nested("structured_outputs", "json", _schema),
        "regex": _nested("structured_outputs", "regex", _text),
        "choices": _nested("structured_outputs", "choice", _list),
        "grammar": _nested("structured_outputs", "grammar", _text),
    },
    salt="cache_salt",
    priority="priority",
    go_on={"continue_final_message": True, "add_generation_prompt": False},
    ids={"return_token_ids": True, "return_tokens_as_token_ids": True},
    scores=True,
    prompt_logprobs=True,
    prefix_cache=True,
)
SGLANG = Dialect(
    name="sglang",
    options=_VLLM_OPTIONS,
    neutral=_NEUTRAL | {"top_k": -1},
    constraints={
        "schema": lambda c: _json_format(_schema(c)),
        "regex": lambda c: {"regex": c.text},
        "choices": lambda c: {"regex": choices_regex(c)},
    },
    salt="cache_salt",
    priority="priority",
    urgent_is_high=True,
    go_on={"continue_final_message": True},
    prefix_cache=True,
)
SGLANG_TOKENS = Dialect(  # of its own /generate
    name="sglang",
    options=_VLLM_OPTIONS | {"min_tokens": "min_new_tokens"},
    neutral=_NEUTRAL | {"top_k": -1},
    constraints={
        "schema": lambda c: {"json_schema": c.text},
        "regex": lambda c: {"regex": c.text},
        "choices": lambda c: {"regex": choices_regex(c)},
    },
    salt="cache_salt",
    priority="priority",
    urgent_is_high=True,
    scores=True,
    prefix_cache=True,
)
LLAMACPP = Dialect(
    name="llamacpp",
    options={
        "top_k": "top_k",
        "min_p": "min_p",
        "repetition_penalty": "repeat_penalty",
        "ignore_end": "ignore_eos",
    },
    neutral={"top_k": 0, "min_p": 0.0},
    constraints={
        "schema": lambda c: {"json_schema": _schema(c)},
        "choices": _gbnf,
    },
    prefix_cache=True,
)
TGI = Dialect(
    name="tgi",
    constraints={
        "schema": lambda c: {"response_format": {"type": "json_object", "value": _schema(c)}},
        "regex": lambda c: {"response_format": {"type": "regex", "value": c.text}},
        "choices": lambda c: {"response_format": {"type": "regex", "value": choices_regex(c)}},
    },
)
HOSTED = Dialect(
    name="openai",
    constraints={
        "schema": lambda c: _json_format(_schema(c)),
        "choices": lambda c: _json_format(_choice_form(c)),
    },
    wrapped_choices=True,
    prefix_cache=True,
    tool_role=False,
)
# servers that keep to the hosted form but for JSON: that of llama-cpp-python, and no schema at all
OBJECTS = replace(
    HOSTED,
    constraints={
        "schema": lambda c: _json_object(_schema(c)),
        "choices": lambda c: _json_object(_choice_form(c)),
    },
)
FREE = replace(HOSTED, constraints={}, wrapped_choices=False)
DIALECTS = {one.name: one for one in (VLLM, SGLANG, LLAMACPP, TGI, HOSTED)}
