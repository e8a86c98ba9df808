"""What a server is and can: asked once, at the start, with requests of a token or two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import httpx

from ramify.backend.openai.dialect import DIALECTS, FREE, HOSTED, OBJECTS, Dialect
from ramify.backend.openai.failures import message_of, status_error, transport_error, unreadable
from ramify.backend.openai.options import HOSTED as HOSTED_AT
from ramify.backend.openai.options import OpenAIOptions
from ramify.backend.openai.sglang import PATH as SGLANG_PATH
from ramify.backend.openai.sse import BrokenEventError
from ramify.backend.openai.wire import Steps
from ramify.errors import BackendError, ServerRefusedError, ServerTooOldError
from ramify.ir.sampling import Constraint

# vllm: where structured_outputs came and guided_* went; sglang: where /generate counts what was
# cached; tgi: where it speaks this protocol
_OLDEST = {"vllm": (0, 12), "sglang": (0, 4), "tgi": (2, 0)}
_PROBE_TEXT = "The probe: 1, 2, 3."


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What is known of a server."""

    model: str
    dialect: Dialect = HOSTED
    version: str = ""
    context: int = 0  # 0: it does not say
    root: str = ""  # where the server has the model from
    cache_tokens: int = 0  # size of its prefix cache; 0: it does not say
    cache_block: int = 0  # tokens of a block of it; 0: it does not say
    priorities: bool = False  # whether it says that it schedules by priority


class Probe:
    """Asks a server. Raises an error with a name where it cannot be used at all."""

    def __init__(
        self,
        options: OpenAIOptions,
        headers: Mapping[str, str],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._options = options
        self._http = httpx.Client(
            headers=dict(headers),
            timeout=httpx.Timeout(min(60.0, options.total_s), connect=options.connect_s),
            http2=options.http2,
            verify=options.trust,
            transport=transport,
        )

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def server(self) -> Server:
        """Find out the kind, the version, the model and its context."""
        models = self._models()
        entry = self._model(models)
        owner = str(entry.get("owned_by", "")).lower()
        kind = {"llama.cpp": "llamacpp"}.get(owner, owner)
        version, context, queued = "", _number(entry.get("max_model_len")), False
        cache, block = 0, 0  # tokens
        if kind == "vllm":
            version = str(self._ask("/version").get("version", ""))
            cache, block = self._cache()
        elif kind == "sglang":
            about = self._ask("/server_info") or self._ask("/get_server_info")
            version = str(about.get("version", ""))
            root = str((self._ask("/model_info") or self._ask("/get_model_info")).get("model_path"))
            entry = {**entry, "root": root}
            cache = _number(about.get("max_total_num_tokens"))
            queued = bool(about.get("enable_priority_scheduling"))
        elif kind == "llamacpp":
            props = self._ask("/props")
            version = str(props.get("build_info", ""))
            settings = props.get("default_generation_settings") or {}
            context = _number(settings.get("n_ctx"))
        elif (info := self._ask("/info")).get("model_id"):
            kind, version = "tgi", str(info.get("version", ""))
            context = _number(info.get("max_total_tokens"))
        _check_age(kind, version)
        return Server(
            model=str(entry.get("id", self._options.model)),
            dialect=DIALECTS.get(kind, HOSTED),
            version=version,
            context=context,
            root=str(entry.get("root") or ""),
            cache_tokens=cache,
            cache_block=block,
            priorities=queued,
        )

    def takes_tokens(self, server: Server, tokenizer: Any) -> str:
        """Why token ids cannot travel; "" where they can.

        The server is asked to go on after some ids: it must count as many as it was given, and
        say the ids of what it wrote. Where it has /tokenize, its ids must be ours.
        """
        ids = [*tokenizer.start_ids, *tokenizer.encode(_PROBE_TEXT)]
        told = self._tokenize(server, _PROBE_TEXT)
        if told is not None and told != list(tokenizer.encode(_PROBE_TEXT)):
            return "the server's tokenizer is another one"
        if server.dialect.name == "llamacpp":
            body: dict[str, Any] = {"prompt": ids, "n_predict": 1, "return_tokens": True}
            found = self._try("../completion", body)
            counted = found.get("tokens_evaluated")
            wrote = found.get("tokens")
        elif server.dialect.name == "sglang":
            once = {"max_new_tokens": 1, "temperature": 0}
            found = self._try(SGLANG_PATH, {"input_ids": ids, "sampling_params": once})
            counted = (found.get("meta_info") or {}).get("prompt_tokens")
            wrote = found.get("output_ids")
        elif server.dialect.ids is not None:
            body = {"model": server.model, "prompt": ids, "max_tokens": 1, "temperature": 0}
            found = self._try("/completions", body | dict(server.dialect.ids))
            counted = (found.get("usage") or {}).get("prompt_tokens")
            wrote = ((found.get("choices") or [{}])[0]).get("token_ids")
        else:
            return f"a server of kind {server.dialect.name!r} does not say token ids"
        if "refused" in found:
            return f"the server refuses token prompts ({found['refused']})"
        if counted != len(ids):
            return f"the server counts {counted} tokens where {len(ids)} were sent"
        if not isinstance(wrote, list):
            return "the server does not say the ids of what it writes"
        return ""

    def has_completions(self, server: Server) -> bool:
        """Whether raw text has an endpoint of its own."""
        body = {"model": server.model, "prompt": "a", "max_tokens": 1}
        return "refused" not in self._try("/completions", body)

    def takes_priorities(self, server: Server) -> bool:
        """Whether the server schedules by priority: vLLM refuses them otherwise."""
        if server.dialect.name != "vllm" or not server.dialect.priority:
            return server.priorities
        body = {"model": server.model, "prompt": [1], "max_tokens": 1}
        return "refused" not in self._try("/completions", body | {server.dialect.priority: 1})

    def with_forms(self, server: Server) -> Server:
        """The server with the forms of JSON that it takes, where it is of no known kind."""
        if server.dialect is not HOSTED or self._options.base == HOSTED_AT:
            return server
        choice = Constraint("choices", choices=("a", "b"))
        messages = [{"role": "user", "content": "a"}]
        body = {"model": server.model, "messages": messages, "max_tokens": 1}
        for dialect in (HOSTED, OBJECTS):
            if "refused" not in self._try("/chat/completions", body | dialect.constraint(choice)):
                return replace(server, dialect=dialect)
        return replace(server, dialect=FREE)

    def takes_tools(self, server: Server) -> bool:
        """Whether chats may have tools: servers of open models want to be started for it. The
        hosted service has them; it is not asked, because asking costs."""
        if self._options.base == HOSTED_AT:
            return True
        function = {"name": "probe", "parameters": {"type": "object", "properties": {}}}
        body = {
            "model": server.model,
            "messages": [{"role": "user", "content": _PROBE_TEXT}],
            "tools": [{"type": "function", "function": function}],
            "max_tokens": 1,
        }
        return "refused" not in self._try("/chat/completions", body)

    def takes_steps(self, steps: Steps, tokenizer: Any) -> bool:
        """Whether the server says the log-probabilities of tokens that are named to it; one that
        is too old leaves the field out without a word."""
        tokens = list(tokenizer.encode(_PROBE_TEXT))
        found = self._try(steps.path, steps.send(tokens, tokens[:2]))
        if "refused" in found:
            return False
        try:
            steps.read(found, tokens[:2])
        except BrokenEventError:
            return False
        return True

    def _models(self) -> list[Mapping[str, Any]]:
        url = self._options.base + "/models"
        try:
            answer = self._http.get(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failed = transport_error(error, url, "answer")
            if not self._options.url and self._options.base == HOSTED_AT:
                failed.hint = 'No server was named; one of your own: "openai:MODEL@http://HOST/v1".'
            raise failed from error
        if answer.status_code == 404 and self._is_api(self._options.base + "/v1"):
            raise ServerRefusedError(
                f"{url} does not exist on the server.",
                hint=f"Did you mean {self._options.base}/v1?",
            )
        if answer.status_code != 200:
            raise status_error(answer.status_code, answer.content, url)
        try:
            found = answer.json()["data"]
            return [one for one in found if isinstance(one, dict)]
        except (ValueError, KeyError, TypeError) as error:
            raise unreadable(f"{answer.text[:80]!r} lists no models", url) from error

    def _is_api(self, base: str) -> bool:
        try:
            return self._http.get(base + "/models").status_code in (200, 401, 403)
        except httpx.HTTPError:
            return False

    def _model(self, models: list[Mapping[str, Any]]) -> Mapping[str, Any]:
        names = [str(one.get("id")) for one in models]
        wanted = self._options.model
        if not wanted and len(models) == 1:
            return models[0]
        for one in models:
            if wanted and wanted in (one.get("id"), one.get("root")):
                return one
        near = get_close_matches(wanted, names, 1)
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        hint = f"Did you mean {near[0]!r}?" if near else f"It has: {listed or 'none'}."
        raise ServerRefusedError(
            f"{self._options.base} has no model {wanted!r}."
            if wanted
            else f"{self._options.base} has {len(models)} models.",
            hint=hint if wanted else f'Name one as "openai:MODEL@URL": {listed}.',
        )

    def _ask(self, path: str) -> dict[str, Any]:
        """An answer that a server of some kind gives; {} where it gives none."""
        try:
            answer = self._http.get(self._options.root + path)
            found = answer.json() if answer.status_code == 200 else {}
        except (httpx.HTTPError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _try(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a small request; {"refused": why} where there is none."""
        root, base = self._options.root, self._options.base
        url = f"{root}/{path[3:]}" if path.startswith("../") else base + path
        try:
            answer = self._http.post(url, json=dict(body))
            if answer.status_code != 200:
                return {"refused": message_of(answer.content)}
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            return {"refused": f"{type(error).__name__}: {error}"}
        return found if isinstance(found, dict) else {"refused": "not a JSON object"}

    def _tokenize(self, server: Server, text: str) -> list[int] | None:
        body = {"model": server.model, "prompt": text, "content": text, "add_special_tokens": False}
        body["add_special"] = False
        found = self._try("../tokenize", body).get("tokens")
        return found if isinstance(found, list) else None

    def _cache(self) -> tuple[int, int]:
        """Tokens of vLLM's prefix cache and of a block of it, from its metrics."""
        try:
            text = self._http.get(self._options.root + "/metrics").text
        except httpx.HTTPError:
            return 0, 0
        found = re.search(r"^vllm:cache_config_info\{(.*?)\}", text, re.MULTILINE)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1])) if found else {}
        block = _number(labels.get("block_size"))
        return block * _number(labels.get("num_gpu_blocks")), block


def _check_age(kind: str, version: str) -> None:
    least = _OLDEST.get(kind)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if least and numbers and numbers < least:
        oldest = ".".join(map(str, least))
        raise ServerTooOldError(
            f"the server is {kind} {version}, and {oldest} is the oldest that is understood.",
            hint="Update the server, or pass probe=false and use no constraints.",
        )


def _number(value: Any) -> int:
    try:
        return max(0, int(value))
    except (TypeError, ValueError):
        return 0


def guess(options: OpenAIOptions) -> Server:
    """A server that was not asked. Raises BackendError where no model is named."""
    if not options.model:
        raise BackendError("without a probe the model must be named.", hint='"openai:MODEL@URL".')
    return Server(model=options.model)
