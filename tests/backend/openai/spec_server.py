"""Servers that keep to the protocols as they are written, on a thread, with faults on request.

The model behind them is a rule: the next token is drawn from a hash of all tokens before it.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

from ramify.backend.mirror import Mirror

# garbled, hang, trickle: in the middle of a stream half an event, nothing more, a byte now and then
Fault = Literal[
    "429", "500", "close", "malformed", "stall", "cut", "refuse", "garbled", "hang", "trickle"
]
Faults = Callable[[int], Fault | None]
OWNERS = {"llamacpp": "llamacpp", "openai": "system"}
WORDS = [
    "harbour",
    "trade",
    "fish",
    "salt",
    "iron",
    "winter",
    "house",
    "boat",
    "town",
    "cloth",
    "bread",
    "song",
]


def draw(ids: Sequence[int], seed: int = 0) -> int:
    """A number that stands for a prompt."""
    key = 1469598103934665603 + seed
    for token in ids:
        key = ((key ^ (token + 1)) * 1099511628211) & ((1 << 64) - 1)
    return key >> 13


class SpecServer:
    """One server of a kind. `tokenizer` (text to ids and back) is the model's."""

    def __init__(
        self,
        kind: str = "vllm",
        *,
        tokenizer: Any = None,
        root: str = "",
        context: int = 4096,
        version: str = "0.32.0",
        key: str = "",
        priorities: bool = True,
        faults: Faults = lambda number: None,
        delay: float = 0.0,
        tls: ssl.SSLContext | None = None,
        named_logprobs: bool = True,
        incremental: bool = False,
        refuses_tools: bool = False,
        json_form: str = "",
    ) -> None:
        self.kind = kind
        self.tokenizer = tokenizer
        self.root = root
        self.context = context
        self.version = version
        self.key = key
        self.priorities = priorities
        self.faults = faults
        self.delay = delay
        self.tls = tls
        self.named_logprobs = named_logprobs  # vllm: logprob_token_ids
        self.json_form = json_form  # the one type of response_format that is taken; "": all
        self.refuses_tools = refuses_tools  # as vLLM does it that was not started for them
        self.incremental = incremental  # sglang: events carry the new ids alone
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.generations = 0
        self.live = 0
        self.most = 0
        self.cut_off = 0  # clients that went away in the middle
        self.cache = Mirror(block=16)
        self.port = 0
        self._stop: asyncio.Event | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    def posts(self, path: str) -> list[dict[str, Any]]:
        """The bodies that were posted, without the questions at the start in chats."""
        found = [body for where, body, _ in self.asked if where == path]
        return [one for one in found if "messages" not in one or one.get("max_tokens") != 1]

    @contextmanager
    def running(self) -> Iterator[SpecServer]:
        ready = threading.Event()
        loop = asyncio.new_event_loop()

        async def main() -> None:
            self._stop = asyncio.Event()
            server = await asyncio.start_server(
                self._serve, "127.0.0.1", 0, backlog=512, ssl=self.tls
            )
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._stop.wait()
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.sleep(0.01)  # transports close on the next turn of the loop

        thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            assert self._stop is not None
            loop.call_soon_threadsafe(self._stop.set)
            thread.join(10)
            loop.close()

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.cut_off += 1
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = await reader.readline()
        if not line:
            return False
        method, path, _ = line.decode().split()
        headers: dict[str, str] = {}
        while (line := await reader.readline()).strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        body = json.loads(raw) if raw else {}
        self.asked.append((path, body, headers))
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            self._json(writer, 401, {"error": {"message": "Incorrect API key provided"}})
        elif method == "GET":
            self._get(writer, path)
        else:
            return await self._post(writer, path, body)
        await writer.drain()
        return True

    def _json(self, writer: asyncio.StreamWriter, status: int, found: Any, extra: str = "") -> None:
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{extra}"
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)

    def _get(self, writer: asyncio.StreamWriter, path: str) -> None:
        owner = OWNERS.get(self.kind, self.kind)
        entry: dict[str, Any] = {"id": "small", "object": "model", "owned_by": owner}
        if self.kind in ("vllm", "sglang"):
            entry |= {"max_model_len": self.context, "root": self.root or "small"}
        found: dict[str, Any] = {"/v1/models": {"object": "list", "data": [entry]}}
        if self.kind == "vllm":
            found["/version"] = {"version": self.version}
        if self.kind == "sglang":
            about = {"version": self.version, "enable_priority_scheduling": self.priorities}
            found["/server_info"] = about
            found["/model_info"] = {"model_path": self.root or "small"}
        if self.kind == "llamacpp":
            settings = {"n_ctx": self.context}
            found["/props"] = {"build_info": "b1", "default_generation_settings": settings}
        if self.kind == "tgi":
            found["/info"] = {"model_id": "small", "version": "3.0", "max_total_tokens": 4096}
        if path in found:
            self._json(writer, 200, found[path])
        else:
            self._json(writer, 404, {"detail": "Not Found"})

    async def _post(self, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]) -> bool:
        if (
            path == "/tokenize"
            and self.tokenizer is not None
            and self.kind
            in (
                "vllm",
                "sglang",
                "llamacpp",
            )
        ):
            text = body.get("prompt") or body.get("content")
            self._json(writer, 200, {"tokens": list(self.tokenizer.encode(text))})
            return True
        if path == "/v1/embeddings":
            rows = [
                {"index": i, "embedding": [float(len(text)), 1.0]}
                for i, text in enumerate(body["input"])
            ]
            self._json(writer, 200, {"data": rows[::-1]})
            return True
        handlers = {
            "/v1/completions": self._completion,
            "/v1/chat/completions": self._chat,
            "/completion": self._llama if self.kind == "llamacpp" else None,
            "/generate": self._generate if self.kind == "sglang" else None,
        }
        handler = handlers.get(path)
        if handler is None:
            self._json(writer, 404, {"detail": "Not Found"})
            return True
        wanted = body.get("sampling_params", body)
        limits = [wanted.get(name) for name in ("max_tokens", "n_predict", "max_new_tokens")]
        small = 1 in limits and not body.get("stream")
        fault = None
        if not small:  # the probe is left alone
            self.generations += 1
            fault = self.faults(self.generations)
        if fault == "429":
            error = {"error": {"message": "Rate limit reached"}}
            self._json(writer, 429, error, "retry-after: 0.02\r\n")
            return True
        if fault == "500":
            self._json(writer, 500, {"error": {"message": "worker died"}})
            return True
        if fault == "malformed" or (fault == "garbled" and not body.get("stream")):
            self._json(writer, 200, b'{"choices": [{"text": ')
            return True
        if fault == "stall" or (fault in ("hang", "trickle") and not body.get("stream")):
            await asyncio.sleep(3600)
        if not body.get("stream") and fault == "close":
            writer.transport.abort()
            return False
        if not body.get("stream") and fault in ("cut", "refuse"):
            said = {"error": {"message": "Grammar error: bad"}}
            status, found = (400, said) if fault == "refuse" else (200, b'{"choices": [')
            self._json(writer, status, found)
            return True
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            return await handler(writer, body, fault)
        finally:
            self.live -= 1

    # the model

    def write(self, ids: Sequence[int], body: dict[str, Any], sample: int = 0) -> list[int]:
        """The tokens of an answer, the end token included where it comes."""
        limit = body.get("max_tokens") or body.get("n_predict") or 16
        limit = body.get("max_new_tokens", limit)
        seed = (
            body.get("seed", body.get("sampling_seed", 0)) + sample
            if body.get("temperature", 1) > 0
            else 0
        )
        forced = self._forced(body, draw(ids, seed))
        end = next(iter(self.tokenizer.end_ids), -1)
        if forced is not None:
            return [*self.tokenizer.encode(forced), end][:limit]
        letters = [t for t in range(self.tokenizer.vocab_size) if self.tokenizer.bytes_of(t)]
        found: list[int] = []
        length = 6 + draw(ids, seed) % 20
        while len(found) < limit:
            if len(found) == length and not body.get("ignore_eos"):
                found.append(end)
                break
            found.append(letters[draw([*ids, *found], seed) % len(letters)])
        return found

    @staticmethod
    def _forced(body: dict[str, Any], key: int) -> str | None:
        given = body.get("structured_outputs") or {}
        options = given.get("choice") or re.findall(r"\((.*?)\)", body.get("regex") or "")
        if options:
            return str(options[key % len(options)])
        return None

    def _usage(self, prompt: int, cached: int, output: int) -> dict[str, Any]:
        details = {"cached_tokens": cached}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": details,
        }

    def _look_up(self, ids: Sequence[int], salt: str) -> int:
        names = self.cache.names(ids, salt)
        cached = min(16 * self.cache.known(names), len(ids) - 1)
        self.cache.add(names)
        return cached

    async def _completion(
        self, writer: asyncio.StreamWriter, body: dict[str, Any], fault: Fault | None
    ) -> bool:
        if body.get("priority") and not self.priorities:
            message = "Got priority but priority scheduling is not enabled"
            self._json(writer, 400, {"error": {"message": message}})
            return True
        prompt = body["prompt"]
        tokens = isinstance(prompt, list)
        if tokens and self.kind in ("tgi", "openai"):
            self._json(writer, 422, {"error": "prompt: expected a string"})
            return True
        if tokens and prompt and isinstance(prompt[0], list):
            return self._scores(writer, prompt)
        ids = prompt if tokens else [ord(c) for c in prompt]
        if body.get("logprob_token_ids") and self.named_logprobs:
            cached = self._look_up(ids, body.get("cache_salt", ""))
            row = {f"token_id:{t}": self.logprob(ids, t) for t in body["logprob_token_ids"]}
            logprobs = {"token_logprobs": [-0.5], "top_logprobs": [row]}
            choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": logprobs}
            self._json(
                writer, 200, {"choices": [choice], "usage": self._usage(len(ids), cached, 1)}
            )
            return True
        if len(ids) >= self.context:
            message = f"This model's maximum context length is {self.context} tokens."
            self._json(writer, 400, {"error": {"message": message}})
            return True
        cached = self._look_up(ids, body.get("cache_salt", ""))
        say_ids = bool(body.get("return_token_ids")) and self.kind == "vllm"
        answers = []
        for sample in range(body.get("n", 1)):
            if self.tokenizer is None or not tokens:
                answers.append(([(None, t) for t in self._words(ids, body)], "stop"))
                continue
            wrote = self.write(ids, body, sample)
            ended = wrote[-1] in self.tokenizer.end_ids
            steps = [([t], self.tokenizer.decode([t])) for t in wrote]
            answers.append((steps, "stop" if ended else "length"))
        output = sum(len(steps) for steps, _ in answers)
        usage = self._usage(len(ids), cached, output)

        def choice(index: int, part: list[Any], why: str | None) -> dict[str, Any]:
            made: dict[str, Any] = {
                "index": index,
                "text": "".join(text for _, text in part),
                "finish_reason": why,
            }
            flat = [t for step_ids, _ in part for t in step_ids or ()]
            if say_ids:
                made["token_ids"] = flat
            if body.get("logprobs"):
                made["logprobs"] = {
                    "token_logprobs": [-0.5] * len(flat),
                    "top_logprobs": [{f"token_id:{t}": -0.5} for t in flat],
                }
            return made

        if not body.get("stream"):
            choices = [choice(i, steps, why) for i, (steps, why) in enumerate(answers)]
            self._json(writer, 200, {"choices": choices, "usage": usage})
            return True
        events: list[dict[str, Any]] = []
        for index, (steps, why) in enumerate(answers):
            for at in range(0, len(steps), 3):
                last = at + 3 >= len(steps)
                part = choice(index, steps[at : at + 3], why if last else None)
                events.append({"choices": [part]})
        if body.get("stream_options", {}).get("include_usage"):
            events.append({"choices": [], "usage": usage})
        return await self._stream(writer, events, fault)

    def _scores(self, writer: asyncio.StreamWriter, prompts: list[list[int]]) -> bool:
        choices = []
        for index, ids in enumerate(prompts):
            steps: list[Any] = [None]
            for at in range(1, len(ids)):
                value = self.logprob(ids[:at], ids[at])
                steps.append({str(ids[at]): {"logprob": value, "rank": 1}})
            choices.append({"index": index, "text": "", "prompt_logprobs": steps})
        total = sum(map(len, prompts))
        self._json(writer, 200, {"choices": choices, "usage": self._usage(total, 0, 1)})
        return True

    @staticmethod
    def logprob(ids: Sequence[int], token: int) -> float:
        """Of a token behind a prompt."""
        return -(draw([*ids, token]) % 1000) / 100

    def _words(self, ids: Sequence[int], body: dict[str, Any]) -> list[str]:
        key = draw(ids, body.get("seed", 0))
        count = min(body.get("max_tokens") or body.get("max_completion_tokens") or 16, 3 + key % 9)
        return [f"{' ' if i else ''}{WORDS[(key >> i) % len(WORDS)]}" for i in range(count)]

    async def _chat(
        self, writer: asyncio.StreamWriter, body: dict[str, Any], fault: Fault | None
    ) -> bool:
        text = json.dumps(body["messages"])
        words = self._words([ord(c) for c in text], body)
        form = body.get("response_format", {})
        form = (form.get("json_schema") or form).get("schema", {})
        options = form.get("properties", {}).get("answer", {}).get("enum")
        if options:
            words = ['{"answer": ', json.dumps(options[draw(text.encode()) % len(options)]), "}"]
        usage = self._usage(len(text) // 4, 0, len(words))
        form = body.get("response_format", {})
        if self.json_form and form and form["type"] != self.json_form:
            self._json(writer, 422, {"error": {"message": f"Input should be {self.json_form!r}"}})
            return True
        if body.get("tools") and self.refuses_tools:
            said = '"auto" tool choice requires --enable-auto-tool-choice'
            self._json(writer, 400, {"error": {"message": said}})
            return True
        if body.get("tools") and body["messages"][-1]["role"] == "user":
            return await self._call(writer, body, usage, fault)
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(words)}
            message["reasoning_content"] = "hm"
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._json(writer, 200, {"choices": [choice], "usage": usage})
            return True
        first = {"role": "assistant", "content": ""}
        deltas: list[dict[str, Any]] = [first, {"reasoning_content": "hm"}]
        deltas += [{"content": word} for word in words]
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if body.get("stream_options", {}).get("include_usage"):
            events.append({"choices": [], "usage": usage})
        return await self._stream(writer, events, fault)

    async def _call(
        self, writer: asyncio.StreamWriter, body: dict[str, Any], usage: Any, fault: Fault | None
    ) -> bool:
        """Calls every tool, with the number of its place for each argument."""
        calls: list[dict[str, Any]] = []
        for number, tool in enumerate(body["tools"]):
            about = tool["function"]
            arguments = dict.fromkeys(about["parameters"]["properties"], number)
            function = {"name": about["name"], "arguments": json.dumps(arguments)}
            calls.append({"id": f"c{number}", "type": "function", "function": function})
        if not body.get("stream"):
            message = {"role": "assistant", "content": None, "tool_calls": calls}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            self._json(writer, 200, {"choices": [choice], "usage": usage})
            return True
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
        for number, call in enumerate(calls):  # the name at once, the arguments in pieces
            whole = call["function"]["arguments"]
            start = {"name": call["function"]["name"], "arguments": ""}
            deltas.append({"tool_calls": [call | {"index": number, "function": start}]})
            deltas += [
                {"tool_calls": [{"index": number, "function": {"arguments": whole[i : i + 4]}}]}
                for i in range(0, len(whole), 4)
            ]
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        last = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        return await self._stream(
            writer, [*events, {"choices": [last]}, {"choices": [], "usage": usage}], fault
        )

    async def _llama(
        self, writer: asyncio.StreamWriter, body: dict[str, Any], fault: Fault | None
    ) -> bool:
        ids = body["prompt"]
        wrote = self.write(ids, body)
        ended = wrote[-1] in self.tokenizer.end_ids
        wrote = wrote[:-1] if ended else wrote
        cached = self._look_up(ids, "")
        last = {
            "content": "",
            "tokens": [],
            "stop": True,
            "stop_type": "eos" if ended else "limit",
            "tokens_evaluated": len(ids),
            "tokens_predicted": len(wrote),
            "timings": {"cache_n": cached},
        }
        if not body.get("stream"):
            text = self.tokenizer.decode(wrote)
            self._json(writer, 200, last | {"content": text, "tokens": wrote})
            return True
        events = []
        for number, t in enumerate(wrote, 1):
            text = self.tokenizer.decode(wrote[:number])
            if not text.endswith("\ufffd"):  # within a character it says nothing
                about = {"tokens": [t], "tokens_predicted": number, "stop": False}
                events.append({"content": self.tokenizer.decode([t]), **about})
        return await self._stream(writer, [*events, last], fault)

    async def _generate(
        self, writer: asyncio.StreamWriter, body: dict[str, Any], fault: Fault | None
    ) -> bool:
        ids = body["input_ids"]
        if len(ids) >= self.context:
            message = f"The input ({len(ids)} tokens) is longer than the model's context length"
            self._json(writer, 400, {"error": {"message": message}})
            return True
        wrote = self.write(ids, body["sampling_params"])
        ended = wrote[-1] in self.tokenizer.end_ids
        cached = self._look_up(ids, body.get("cache_salt", ""))

        def event(start: int, stop: int, *, last: bool) -> dict[str, Any]:
            first = start if self.incremental and body.get("stream") else 0
            about: dict[str, Any] = {
                "prompt_tokens": len(ids),
                "completion_tokens": stop,
                "cached_tokens": cached,
                "finish_reason": {"type": "stop" if ended else "length"} if last else None,
            }
            part = wrote[first:stop]
            if body.get("return_logprob"):
                about["output_token_logprobs"] = [[-0.5, t, None] for t in part]
                named = body.get("token_ids_logprob") or ()
                about["output_top_logprobs"] = [[[-0.5, t, None]] for t in part]
                about["output_token_ids_logprobs"] = [
                    [[self.logprob(ids, t), t, None] for t in named]
                ]
            return {"text": self.tokenizer.decode(part), "output_ids": part, "meta_info": about}

        if not body.get("stream"):
            self._json(writer, 200, event(0, len(wrote), last=True))
            return True
        cuts = [*range(0, len(wrote), 3), len(wrote)]
        events = [event(a, b, last=b == len(wrote)) for a, b in pairwise(cuts)]
        return await self._stream(writer, events, fault)

    async def _stream(
        self, writer: asyncio.StreamWriter, events: list[dict[str, Any]], fault: Fault | None
    ) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        if fault == "cut":  # ends like a whole stream, in the middle
            events = events[: len(events) // 2]
        if fault == "refuse":  # as vLLM does it: inside of the stream
            said = {"message": "Grammar error: bad", "type": "BadRequestError", "code": 400}
            events = [{"error": said}]
        for number, event in enumerate(events):
            if fault == "close" and number == len(events) // 2:
                await writer.drain()
                writer.transport.abort()
                return False
            if fault in ("garbled", "hang", "trickle") and number == len(events) // 2:
                self._chunk(writer, b'data: {"choices": [')
                await writer.drain()
                while fault != "garbled":
                    await asyncio.sleep(3600 if fault == "hang" else 0.05)
                    self._chunk(writer, b" ")
                    await writer.drain()
                self._chunk(writer, b"\n\n")
                break
            self._chunk(writer, f"data: {json.dumps(event)}\n\n".encode())
            if self.delay:
                await writer.drain()
                await asyncio.sleep(self.delay)
        if fault != "cut":
            self._chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    @staticmethod
    def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def cycle(names: str) -> Faults:
    """One request in three goes wrong, in each of the ways in turn."""
    kinds = [name for name in names.split(",") if name]

    def fault(number: int) -> Any:
        return kinds[number // 3 % len(kinds)] if kinds and number % 3 == 0 else None

    return fault


if __name__ == "__main__":  # python -m tests.backend.openai.spec_server KIND DELAY [FAULTS]
    wrong = cycle(sys.argv[3] if len(sys.argv) > 3 else "")
    with SpecServer(sys.argv[1], delay=float(sys.argv[2]), faults=wrong).running() as alone:
        print(alone.url, flush=True)
        threading.Event().wait()
