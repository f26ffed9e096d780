"""A guest agent for tests: the real handshake and real HTTP/2 on a UNIX socket, answers by the test."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated

from scaibunker.wire.guest.handshake import ECHO_MAGIC, NONCE_BYTES, TOKEN_BYTES

TOKEN = hashlib.sha256(b"a token for tests").digest()


class FakeExchange:
    """One request as the test's handler sees it."""

    def __init__(self, session: "FakeSession", stream_id: int, headers: dict[str, str]) -> None:
        self._session = session
        self._id = stream_id
        self.headers = headers
        self.body = bytearray()
        self.body_ended = asyncio.Event()
        self.was_reset = asyncio.Event()

    async def respond(self, status: int, headers: dict[str, str] | None = None) -> None:
        fields = [(":status", str(status)), *(headers or {}).items()]
        self._session.h2.send_headers(self._id, fields)
        self._session.flush()

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self.was_reset.is_set():
            room = min(
                self._session.h2.local_flow_control_window(self._id),
                self._session.h2.max_outbound_frame_size,
            )
            if room <= 0:
                await self._session.wait_for_window()
                continue
            self._session.h2.send_data(self._id, bytes(view[:room]))
            view = view[room:]
            self._session.flush()

    async def end(self) -> None:
        self._session.h2.end_stream(self._id)
        self._session.flush()

    async def answer(self, body: bytes = b"", status: int = 200) -> None:
        """The whole answer."""
        await self.respond(status)
        await self.write(body)
        await self.end()

    def break_off(self) -> None:
        self._session.h2.reset_stream(self._id)
        self._session.flush()


Handler = Callable[[FakeExchange], Awaitable[None]]


class FakeSession:
    """One connection of the host."""

    def __init__(self, agent: "FakeAgent", writer: asyncio.StreamWriter) -> None:
        self.agent = agent
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._writer = writer
        self._exchanges: dict[int, FakeExchange] = {}
        self._window = asyncio.Event()

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    async def wait_for_window(self) -> None:
        self._window.clear()
        await self._window.wait()

    def feed(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case RequestReceived():
                    headers = {str(n): str(v) for n, v in event.headers or []}
                    exchange = FakeExchange(self, event.stream_id, headers)
                    self._exchanges[event.stream_id] = exchange
                    self.agent.tasks.append(asyncio.create_task(self.agent.handler(exchange)))
                case DataReceived():
                    self._exchanges[event.stream_id].body += event.data or b""
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id
                    )
                case StreamEnded():
                    self._exchanges[event.stream_id].body_ended.set()
                case StreamReset():
                    self._exchanges[event.stream_id].was_reset.set()
                    self._window.set()
                case WindowUpdated():
                    self._window.set()
                case _:
                    pass
        self.flush()


class FakeAgent:
    """Serves `handler`; `greeting` is what it writes before its echo, `deaf` makes it never answer."""

    def __init__(
        self,
        handler: Handler,
        greeting: bytes = b"",
        *,
        deaf: bool = False,
        token: bytes = TOKEN,
    ) -> None:
        self.handler = handler
        self.tasks: list[asyncio.Task[None]] = []
        self.hellos = 0
        self._greeting = greeting
        self._token = token
        self._deaf = deaf
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, path: Path) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(path))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.drop_connections()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def drop_connections(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        session: FakeSession | None = None
        buffer = b""
        while data := await reader.read(65536):
            buffer += data
            start = buffer.find(self._token)
            if start >= 0 and len(buffer) >= start + TOKEN_BYTES + NONCE_BYTES:
                end = start + TOKEN_BYTES + NONCE_BYTES
                nonce, buffer = buffer[start + TOKEN_BYTES : end], buffer[end:]
                self.hellos += 1
                if self._deaf:
                    continue
                writer.write(self._greeting + ECHO_MAGIC + nonce)
                session = FakeSession(self, writer)
                session.h2.initiate_connection()
                session.flush()
            if session is not None and buffer:
                data, buffer = buffer, b""
                session.feed(data)
