"""HTTP/2 over TLS in front of a server of HTTP/1: every stream becomes a request of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx


class H2Front:
    """Counts the connections and the streams that it got."""

    def __init__(self, behind: str, tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["h2"])
        self._behind = behind  # the root of the server behind
        self._tls = tls
        self.port = 0
        self.connections = 0
        self.streams = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/v1"

    @contextmanager
    def running(self) -> Iterator[H2Front]:
        ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

        async def main() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()
            server.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.sleep(0.05)

        thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        talk.initiate_connection()
        writer.write(talk.data_to_send())
        heads: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        tasks: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(timeout=30) as client:
            while data := await reader.read(65536):
                for event in talk.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self.streams += 1
                        pairs = [(_text(n), _text(v)) for n, v in event.headers]
                        heads[event.stream_id], bodies[event.stream_id] = dict(pairs), b""
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] += event.data
                        flow = event.flow_controlled_length
                        talk.acknowledge_received_data(flow, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        number = event.stream_id
                        passed = self._pass(
                            client, talk, writer, number, heads.pop(number), bodies.pop(number)
                        )
                        task = asyncio.create_task(passed)
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                writer.write(talk.data_to_send())

    async def _pass(
        self,
        client: httpx.AsyncClient,
        talk: Any,
        writer: asyncio.StreamWriter,
        number: int,
        head: dict[str, str],
        body: bytes,
    ) -> None:
        kept = {name: head[name] for name in ("content-type", "authorization") if name in head}
        url = self._behind + head[":path"]
        async with client.stream(head[":method"], url, headers=kept, content=body) as answer:
            kind = answer.headers["content-type"]
            talk.send_headers(
                number, [(":status", str(answer.status_code)), ("content-type", kind)]
            )
            writer.write(talk.data_to_send())
            async for data in answer.aiter_bytes(8192):
                talk.send_data(number, data)
                writer.write(talk.data_to_send())
        talk.end_stream(number)
        writer.write(talk.data_to_send())


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
