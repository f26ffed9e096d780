"""One session on a guest channel: the handshake, then HTTP/2 with us as the client.

Streams bytes both ways with flow control; a consumer that does not read stops the sender, and only
that stream's. The guest is hostile: header and body sizes are bounded, and whatever it sends that is
not HTTP/2 ends the session. Reconnecting is the business of `link`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from scaibunker.wire.codes import Code
from scaibunker.wire.guest.execs import REPLAY_WINDOW
from scaibunker.wire.guest.handshake import ECHO_MAGIC, NONCE_BYTES
from scaibunker.worker.errors import GuestUnreachable, WorkerFault
from scaibunker.worker.guest.port import Body
from scaibunker.worker.guest.stream import GuestStream, Headers

CONNECTION_WINDOW = 16 * 1024 * 1024
SMALL_BODY = 64 * 1024
"""Bytes of a body that is sent at once, without a task."""
HELLO_INTERVAL_S = 0.5
"""A hello is repeated: a guest that was paused, or is still booting, may miss one."""
MAX_HEADER_LIST = 64 * 1024
MAX_STREAMS = 250
"""Requests under way at once, whatever the agent allows."""
SLOT_TIMEOUT_S = 15.0
MAX_IDLE_FRAMES = 5000
"""Frames a second that carry no data, beside those that acknowledge ours."""
MAX_WRITE_BUFFER = 8 * 1024 * 1024
MAX_HEADER_TABLE = 4096
"""Bytes of header compression state, whatever the agent offers."""
AUTHORITY = "guest"


class GuestConnection(asyncio.Protocol):
    """A session that is open. Made by `open_session`."""

    def __init__(self, nonce: bytes) -> None:
        self._echo = ECHO_MAGIC + nonce
        self._before_echo = bytearray()
        self._greeted = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, GuestStream] = {}
        self._h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._writable = asyncio.Event()
        self._writable.set()
        self._window_open = asyncio.Event()
        self._slot_free = asyncio.Event()
        self._second = 0.0
        self._idle_frames = 0
        self._sent = 0
        self.closed = asyncio.Event()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._greeted.done():
            data = self._await_echo(data)
            if not data:
                return
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
                self._count(event)
        except (H2Error, ValueError, KeyError) as error:
            self._fail(f"the guest agent broke the protocol: {type(error).__name__}")
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the guest channel was closed" if exc is None else f"the guest channel: {exc}")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # The handshake

    async def greet(self, hello: bytes, timeout_s: float) -> None:
        """Say hello until the agent echoes our nonce. Raises GuestUnreachable."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._greeted.done():
                    assert self._transport is not None  # noqa: S101 - set before greet is called
                    if self._writable.is_set():
                        self._transport.write(hello)
                    await asyncio.wait([self._greeted], timeout=HELLO_INTERVAL_S)
                self._greeted.result()
        except TimeoutError:
            self.close()
            raise GuestUnreachable(
                f"the guest agent did not answer within {timeout_s:g} s"
            ) from None

    def _await_echo(self, data: bytes) -> bytes:
        """Throw away what an earlier session left; returns what follows the echo."""
        buffer = self._before_echo
        buffer += data
        position = buffer.find(self._echo)
        if position < 0:
            del buffer[: max(0, len(buffer) - len(self._echo))]
            return b""
        rest = bytes(buffer[position + len(self._echo) :])
        buffer.clear()
        self._initiate()
        self._greeted.set_result(None)
        return rest

    def _initiate(self) -> None:
        # Replaced, not updated: an update would wait for the other side to acknowledge it.
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.INITIAL_WINDOW_SIZE: REPLAY_WINDOW,
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW)
        self._flush()

    # Requests

    async def request(
        self, method: str, path: str, headers: Headers | None = None, body: Body = None
    ) -> GuestStream:
        """Send a request; the stream's `response` waits for the answer. Raises GuestUnreachable.

        A long body is sent by a task of its own: the answer may come before its end, and a command
        may not take more input before its output is read. A body that cannot be had whole resets
        the stream.
        """
        stream = await self._open(method, path, headers, has_body=body is not None)
        if isinstance(body, bytes) and len(body) <= SMALL_BODY:
            try:
                await self._send(stream, body, end=True)
            except BaseException:
                stream.reset()
                raise
        elif body is not None:
            stream.sender = asyncio.create_task(self._feed(stream, body))
        return stream

    async def _feed(self, stream: GuestStream, body: bytes | AsyncIterator[bytes]) -> None:
        try:
            if isinstance(body, bytes):
                await self._send(stream, body, end=True)
                return
            async for chunk in body:
                await self._send(stream, chunk)
            await self._send(stream, b"", end=True)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.reset(stream.id, GuestUnreachable(f"the body broke off: {error}"))

    async def _open(
        self, method: str, path: str, headers: Headers | None, *, has_body: bool
    ) -> GuestStream:
        self._check_open()
        await self._free_slot()
        stream_id = self._h2.get_next_available_stream_id()
        try:
            self._h2.send_headers(
                stream_id,
                [
                    (":method", method),
                    (":path", path),
                    (":scheme", "http"),
                    (":authority", AUTHORITY),
                    *(headers or []),
                ],
                end_stream=not has_body,
            )
        except UnicodeEncodeError:
            raise WorkerFault("a header is not ASCII", Code.VALIDATION_ERROR) from None
        except H2Error as error:
            raise GuestUnreachable(f"the guest agent takes no request: {error}") from error
        stream = GuestStream(self, stream_id)
        self._streams[stream_id] = stream
        if not has_body:
            self._flush()
        return stream

    async def _free_slot(self) -> None:
        """Wait until the agent takes one more request. Raises GuestUnreachable."""
        try:
            async with asyncio.timeout(SLOT_TIMEOUT_S):
                while self._h2.open_outbound_streams >= min(
                    self._h2.remote_settings.max_concurrent_streams, MAX_STREAMS
                ):
                    self._slot_free.clear()
                    await self._slot_free.wait()
                    self._check_open()
        except TimeoutError:
            raise GuestUnreachable(
                f"{self._h2.open_outbound_streams} requests are under way in this guest"
            ) from None

    async def _send(self, stream: GuestStream, data: bytes, *, end: bool = False) -> None:
        """Send part of a body, as fast as the agent takes it; `end` says that it was the last.

        Returns early if the answer is already complete: the agent wants no more then.
        """
        view = memoryview(data)
        while view:
            if stream.failed or stream.ended or stream.id not in self._streams:
                return
            self._check_open()
            room = min(
                self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size
            )
            if room <= 0 or not self._writable.is_set():
                self._flush()
                self._window_open.clear()
                await (self._window_open if room <= 0 else self._writable).wait()
                continue
            self._h2.send_data(stream.id, bytes(view[:room]))
            view = view[room:]
        if end and stream.id in self._streams and not stream.failed:
            # Alone in its frame on purpose: see `wire.guest.handshake`.
            with contextlib.suppress(H2Error):
                self._h2.end_stream(stream.id)
        self._flush()

    def acknowledge(self, stream_id: int, credit: int) -> None:
        """The consumer has taken that many bytes: the agent may send as many more."""
        if self.closed.is_set():
            return
        with contextlib.suppress(H2Error):
            self._h2.acknowledge_received_data(credit, stream_id)
        self._flush()

    def reset(self, stream_id: int, reason: GuestUnreachable | None = None) -> None:
        """Give up on a stream. Nothing happens to one that has ended."""
        stream = self._streams.get(stream_id)
        if stream is None or self.closed.is_set():
            return
        stream.on_error(reason or GuestUnreachable("the request was given up"))
        self._drop(stream)
        stream.take()  # and dropped: the connection's window is everybody's
        with contextlib.suppress(H2Error):
            self._h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        self._flush()

    def close(self) -> None:
        self._fail("the guest channel was closed")

    def _check_open(self) -> None:
        if self.closed.is_set():
            raise GuestUnreachable("the guest channel is closed")

    def _count(self, event: Event) -> None:
        """Frames that move nothing forward are free for the guest and cost us: a bound per second."""
        if isinstance(event, DataReceived) and event.data:
            return
        now = asyncio.get_running_loop().time()
        if now - self._second > 1:
            self._second, self._idle_frames, self._sent = now, 0, 0
        self._idle_frames += 1
        # What we send is acknowledged in frames of the kind: they are not counted against it.
        if self._idle_frames > MAX_IDLE_FRAMES + self._sent // 512:
            self._fail("the guest agent floods its channel")

    def _handle(self, event: Event) -> None:
        stream_id = getattr(event, "stream_id", None)
        stream = self._streams.get(stream_id) if stream_id else None
        match event:
            case ResponseReceived() if stream:
                stream.on_response([(str(n), str(v)) for n, v in event.headers or []])
            case DataReceived():
                if stream:
                    stream.on_data(event.data or b"", event.flow_controlled_length or 0)
                else:  # of a stream we gave up: keep the connection's window open
                    self.acknowledge(event.stream_id or 0, event.flow_controlled_length or 0)
            case StreamEnded() if stream:
                stream.on_end()
                self._drop(stream)
                self._finish_half_open(stream)
            case StreamReset() if stream:
                stream.on_error(GuestUnreachable("the guest agent broke off its answer"))
                self._drop(stream)
            case RemoteSettingsChanged():
                self._h2.encoder.header_table_size = MAX_HEADER_TABLE
                self._window_open.set()
            case WindowUpdated():
                self._window_open.set()
            case ConnectionTerminated():
                self._fail("the guest agent ended the session")
            case _:
                pass

    def _finish_half_open(self, stream: GuestStream) -> None:
        """An answer that is complete before our body is: nobody wants the rest of it."""
        with contextlib.suppress(H2Error):
            self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)

    def _drop(self, stream: GuestStream) -> None:
        self._streams.pop(stream.id, None)
        if stream.sender is not None and stream.sender is not asyncio.current_task():
            stream.sender.cancel()
        self._slot_free.set()
        self._window_open.set()

    def _flush(self) -> None:
        if self._transport is not None and not self.closed.is_set():
            data = self._h2.data_to_send()
            if data:
                self._sent += len(data)
                self._transport.write(data)
                if self._transport.get_write_buffer_size() > MAX_WRITE_BUFFER:
                    self._fail("the guest agent does not take what it asked for")

    def _fail(self, message: str) -> None:
        if self.closed.is_set():
            return
        self.closed.set()
        error = GuestUnreachable(message)
        if not self._greeted.done():
            self._greeted.set_exception(error)
            self._greeted.exception()  # looked at: greet may never have been called
        for stream in list(self._streams.values()):
            stream.on_error(error)
            self._drop(stream)
        self._writable.set()
        self._window_open.set()
        self._slot_free.set()
        if self._transport is not None:
            self._transport.abort()


async def open_session(path: Path, token: bytes, timeout_s: float) -> GuestConnection:
    """Connect to the channel's socket and greet the agent. Raises GuestUnreachable."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_unix_connection(lambda: GuestConnection(nonce), str(path))
    except OSError as error:
        raise GuestUnreachable(f"cannot connect to the guest channel: {error.strerror}") from error
    try:
        await connection.greet(token + nonce, timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection
