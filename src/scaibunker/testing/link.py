"""The way from a simulated host's daemon to a simulated guest, without a byte stream between them.

The daemon gets the very streams that it gets from a real guest, with the same flow control. As on a
real channel there is one session at a time: a new one ends the one before.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping

from scaibunker.testing.guest import Guest
from scaibunker.testing.lives import Life
from scaibunker.wire.guest.execs import REPLAY_WINDOW
from scaibunker.worker.errors import GuestUnreachable
from scaibunker.worker.guest.link import RECONNECT_TIMEOUT_S
from scaibunker.worker.guest.port import Body
from scaibunker.worker.guest.stream import GuestStream, Headers

CLOSED = "the guest channel was closed"


class Channel:
    """A machine's end of it: the guest, and the session that it has now."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.session: SimulatedSession | None = None
        self.broken = False

    def hang_up(self) -> None:
        """The machine is gone."""
        self.broken = True
        if self.session is not None:
            self.session.close()


class SimulatedLink:
    """`port.Link`, of one life of the daemon. Without a channel nobody is there."""

    def __init__(self, life: Life, channel: Channel | None, token: bytes) -> None:
        self._life = life
        self._channel = channel
        self._token = token
        self._session: SimulatedSession | None = None
        self._closed = False

    async def connect(self, timeout_s: float) -> "SimulatedSession":
        self._life.check()
        if self._session is None or self._session.closed.is_set():
            channel = self._channel
            if channel is None or channel.broken:
                raise GuestUnreachable("cannot connect to the guest channel: nobody is there")
            await self._greeted(channel, timeout_s)
            if self._closed or channel.broken:
                raise GuestUnreachable("the machine is being taken down")
            self._life.check()
            if channel.session is not None:
                channel.session.close()
            self._session = channel.session = SimulatedSession(self._life, channel.guest)
        return self._session

    async def session(self) -> "SimulatedSession":
        return await self.connect(RECONNECT_TIMEOUT_S)

    def replace_token(self, token: bytes) -> None:
        self._token = token

    async def broken(self) -> None:
        if self._session is not None:
            await self._session.closed.wait()

    def close(self) -> None:
        self._closed = True
        if self._session is not None:
            self._session.close()

    async def _greeted(self, channel: Channel, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await channel.guest.ready()
                if channel.guest.token != self._token:
                    await asyncio.Event().wait()  # the agent answers to its own token alone
        except TimeoutError:
            raise GuestUnreachable(
                f"the guest agent did not answer within {timeout_s:g} s"
            ) from None


class SimulatedSession:
    """`port.Session`, and what its streams need of it."""

    def __init__(self, life: Life, guest: Guest) -> None:
        self.closed = asyncio.Event()
        self._life = life
        self._guest = guest
        self._ids = itertools.count(1, 2)
        self._exchanges: dict[int, SimulatedExchange] = {}

    async def request(
        self, method: str, path: str, headers: Headers | None = None, body: Body = None
    ) -> GuestStream:
        self._life.check()
        if self.closed.is_set():
            raise GuestUnreachable("the guest channel is closed")
        stream = GuestStream(self, next(self._ids))
        exchange = SimulatedExchange(method, path, headers or [], body, stream)
        self._exchanges[stream.id] = exchange
        exchange.task = asyncio.create_task(self._serve(exchange), name=f"{method} {path}")
        return stream

    def acknowledge(self, stream_id: int, credit: int) -> None:
        exchange = self._exchanges.get(stream_id)
        if exchange is not None:
            exchange.take_more(credit)

    def reset(self, stream_id: int, reason: GuestUnreachable | None = None) -> None:
        # A process that is dead resets nothing: its session breaks, and commands live on.
        exchange = None if self._life.over else self._exchanges.pop(stream_id, None)
        if exchange is not None:
            exchange.given_up = True
            exchange.break_off(reason or GuestUnreachable("the request was given up"))

    def close(self) -> None:
        if self.closed.is_set():
            return
        self.closed.set()
        for exchange in list(self._exchanges.values()):
            exchange.break_off(GuestUnreachable(CLOSED))
        self._exchanges.clear()

    async def _serve(self, exchange: "SimulatedExchange") -> None:
        try:
            await self._guest.thawed.wait()
            await self._guest.answer(exchange)
        except BodyBroken as error:
            exchange.stream.on_error(GuestUnreachable(f"the body broke off: {error}"))
        finally:
            self._exchanges.pop(exchange.stream.id, None)


class BodyBroken(Exception):
    """A request's body cannot be had whole."""


class SimulatedExchange:
    """`guest.Exchange` on a real stream of the worker's."""

    def __init__(
        self, method: str, path: str, headers: Headers, body: Body, stream: GuestStream
    ) -> None:
        self.method = method
        self.path = path
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in headers}
        self.given_up = False
        self.stream = stream
        self.task: asyncio.Task[None] | None = None
        self._body = body
        self._room = REPLAY_WINDOW
        self._more = asyncio.Event()

    async def body(self) -> AsyncIterator[bytes]:
        if isinstance(self._body, bytes):
            yield self._body
        elif self._body is not None:
            try:
                async for chunk in self._body:
                    yield chunk
            except Exception as error:
                raise BodyBroken(str(error)) from error

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.stream.on_response([(":status", str(status)), *headers.items()])

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            while self._room <= 0:
                self._more.clear()
                await self._more.wait()
            piece = bytes(view[: self._room])
            self._room -= len(piece)
            view = view[len(piece) :]
            self.stream.on_data(piece, len(piece))

    def end(self) -> None:
        self.stream.on_end()

    def take_more(self, credit: int) -> None:
        self._room += credit
        self._more.set()

    def break_off(self, reason: GuestUnreachable) -> None:
        self.stream.on_error(reason)
        if self.task is not None:
            self.task.cancel()
