"""One socket of a connection: moves what it reads to the other one, as fast as that one takes it."""

import asyncio
import contextlib
import socket
import struct
from typing import Protocol, cast

from scaibunker.worker.gateway.proxy.room import BUFFER, Room

STALLED, JUDGED, TURN, UNJUDGED = 1, 2, 4, 8
"""Why nothing is read: the other side takes no more, a server is looked for, others have their turn, and it is not even
judged yet what was read before."""
READ_WHILE_JUDGED = 16 * 1024
"""Bytes at a time."""
NARROW, NEAR = 64 * 1024, 192 * 1024
"""Bytes of the kernel's buffers each way: of a connection that is one of many, and of a guest, who is never far away. By
itself the kernel gives a socket several megabytes, of an amount that is the whole host's; a guest that reads nothing keeps them filled."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 120),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
)


class Owner(Protocol):
    """The connection that it is a side of."""

    def heard(self, side: "Side", data: bytes) -> None:
        """More has come than may pass unread."""
        ...

    def ended(self, side: "Side") -> None:
        """Its peer sends no more."""
        ...

    def drained(self) -> None:
        """The peer of one of its sides has taken all that was held."""
        ...

    def lost(self, side: "Side") -> None:
        """It is closed, by whomever."""
        ...


class Side(asyncio.BufferedProtocol):
    """`allowance`: how many of the bytes that it reads next go to `peer` unread. `held`: what its own peer has not taken
    yet; nothing is read for it meanwhile. `received` counts what it has read. `buffers`: the kernel's for it, in bytes; None: as
    it sees fit."""

    def __init__(
        self, sock: socket.socket, room: Room, owner: Owner, buffers: int | None = None
    ) -> None:
        sock.setblocking(False)
        for option in _KEEPALIVE:
            sock.setsockopt(*option)
        if buffers is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        self._sock = sock
        self._room = room
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._pauses = 0
        self._attaching = False
        self._ended = False
        self._finishing = False
        self._finished = False
        self.peer: Side | None = None
        self.allowance = 0
        self.received = 0
        self.held = 0
        self.gone = False

    @property
    def silent(self) -> bool:
        """It has said nothing, not even that it has ended."""
        return not self.received and not self._ended

    async def attach(self, *, accepted: bool) -> None:
        """Begin to read. Raises OSError."""
        if self.gone:
            return
        loop = asyncio.get_running_loop()
        self._attaching = True
        if accepted:
            await loop.connect_accepted_socket(lambda: self, self._sock)
        else:
            await loop.create_connection(lambda: self, sock=self._sock)

    def get_buffer(self, _sizehint: int) -> memoryview:
        size = self._room.size()
        return BUFFER[: size if self.allowance else min(size, READ_WHILE_JUDGED)]

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        peer = self.peer
        if peer is not None and nbytes <= self.allowance:
            self.allowance -= nbytes
            peer.send(BUFFER[:nbytes])
        else:
            self._owner.heard(self, bytes(BUFFER[:nbytes]))
        if self._room.spend(nbytes) and not self._pauses & TURN:
            self.pause(TURN)
            self._room.wait(self)

    def send(self, data: memoryview | bytes) -> None:
        """To its peer, now or as soon as it takes it; the other side is not read until then."""
        if self.gone or self._transport is None:
            return
        if self._finishing:
            self.reset()
            return
        sent = 0
        if not self.held:
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self.reset()
                return
            if sent == len(data):
                return
        rest = bytes(data[sent:])
        self.held += len(rest)
        self._room.held += len(rest)
        if self.peer is not None:
            self.peer.pause(STALLED)
        self._transport.write(rest)
        if not self._transport.get_write_buffer_size():
            self.resume_writing()

    def finish(self) -> None:
        """Tell its peer that no more comes, once it has taken what is held."""
        self._finishing = True
        if not self.held and not self._finished and not self.gone and self._transport is not None:
            self._finished = True
            with contextlib.suppress(OSError):  # it is not connected any more: `lost` follows
                self._transport.write_eof()

    def close(self) -> None:
        """What is held is sent first."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """At once: its peer is told that the connection is broken."""
        if self.gone:
            return
        self.gone = True
        _break(self._sock)
        if self._transport is not None:
            self._transport.abort()
        elif not self._attaching:
            self._sock.close()

    def pause(self, reason: int) -> None:
        if not self._pauses and (transport := self._readable()) is not None:
            transport.pause_reading()
        self._pauses |= reason

    def resume(self, reason: int) -> None:
        if not self._pauses & reason:
            return
        self._pauses &= ~reason
        if not self._pauses and (transport := self._readable()) is not None:
            transport.resume_reading()

    def _readable(self) -> asyncio.Transport | None:
        if self.gone or self._ended or self._transport is None or self._transport.is_closing():
            return None
        return self._transport

    def resume_turn(self) -> None:
        self.resume(TURN)

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0, low=0)
        if self.gone:
            self._transport.abort()

    def resume_writing(self) -> None:
        self._room.held -= self.held
        self.held = 0
        if self.peer is not None:
            self.peer.resume(STALLED)
        if self._finishing:
            self.finish()
        self._owner.drained()

    def eof_received(self) -> bool:
        if not self._ended:
            self._ended = True
            self._owner.ended(self)
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        self.gone = True
        self._room.held -= self.held
        self.held = 0
        self._owner.lost(self)


def reset(sock: socket.socket) -> None:
    """Close a socket that is nobody's side, so that its peer is told that the connection is broken."""
    _break(sock)
    sock.close()


def _break(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
