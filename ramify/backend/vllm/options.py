"""How a `vllm:` backend is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from ramify.errors import BackendError

OLDEST = (0, 12)  # where structured_outputs came and guided_* went


@dataclass(frozen=True, slots=True, kw_only=True)
class VLLMOptions:
    """Our own options, and in `engine` those of `vllm.AsyncEngineArgs`, passed through."""

    name: str = ""  # "": the model's
    kv_gib: float | None = None  # size of the KV cache of the CPU build; None: vLLM's own choice
    kv_events: bool = False  # mirror the cache from the engine's own events
    leader_first: bool = False  # vLLM shares the blocks of requests under way by itself
    engine: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, known: tuple[str, ...], **options: Any) -> VLLMOptions:
        """From keyword options; `known` are the engine's. Text is read as JSON where it is JSON.

        Raises BackendError for an option that neither we nor the engine have.
        """
        own = [item.name for item in fields(cls) if item.name != "engine"]
        found: dict[str, Any] = {}
        engine: dict[str, Any] = {}
        for name, value in options.items():
            if name not in own and name not in known:
                near = get_close_matches(name, [*own, *known], 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Our own: {', '.join(own)}."
                raise BackendError(f"the vllm backend has no option {name!r}.", hint=hint)
            place = found if name in own else engine
            place[name] = _read(value) if isinstance(value, str) else value
        return cls(**found, engine=engine)


def _read(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text
