"""Asking the host's resolvers. What they answer is not believed before it fits the question."""

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import time

from scaibunker.worker.gateway.resolver.wire import (
    CD,
    DO,
    FORMERR,
    HEADER,
    HEADER_BYTES,
    MAX_UDP_BYTES,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    OPT,
    QR,
    RD,
    TC,
)  # fmt: skip
from scaibunker.worker.gateway.surroundings import Surroundings

TRY_S = (1.0, 2.0)
"""Seconds for an upstream's answer by UDP, in the first round and in the second."""
TCP_S = 3.0
ASK_S = 8.0
"""All in all."""
MAX_WRONG = 16
"""Datagrams that are no answer to the question; then somebody guesses, and TCP is asked."""
RECEIVE_BYTES = 4096
SHUN_S = 30.0
"""For how long an upstream that did not answer is asked last."""
OPT_RECORD = b"\0" + OPT.to_bytes(2) + MAX_UDP_BYTES.to_bytes(2)


class UpstreamFailed(Exception):
    """No upstream has given an answer that can be used."""


class _Guessed(Exception):
    """Too much came that was no answer."""


class Upstreams:
    """Shared by all machines; it keeps nothing but which upstreams are silent, or do without EDNS."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._shunned: dict[tuple[str, int], float] = {}
        self._plain: set[tuple[str, int]] = set()

    async def ask(self, question: bytes, *, dnssec: bool = False, unchecked: bool = False) -> bytes:
        """`question`: name, type and class. The whole message of the first upstream that knows, whose question is the
        one asked; else of one that says it does not. Raises UpstreamFailed."""
        last: bytes | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ASK_S):
                for limit_s in TRY_S:
                    for upstream in self._order():
                        message = await self._try(upstream, question, limit_s, dnssec, unchecked)
                        if message is None:
                            continue
                        if message[3] & 0xF in (NOERROR, NXDOMAIN):
                            return message
                        last = message
                    if last is not None:
                        break
        if last is None:
            raise UpstreamFailed("no answer")
        return last

    def _order(self) -> list[tuple[str, int]]:
        now = time.monotonic()
        upstreams = self._surroundings.upstreams
        return sorted(upstreams, key=lambda upstream: self._shunned.get(upstream, 0.0) > now)

    async def _try(
        self,
        upstream: tuple[str, int],
        question: bytes,
        limit_s: float,
        dnssec: bool,
        unchecked: bool,
    ) -> bytes | None:
        edns = upstream not in self._plain
        flags = RD | (CD if unchecked else 0)
        added = OPT_RECORD + (DO if dnssec else 0).to_bytes(4) + b"\0\0" if edns else b""
        number = secrets.randbelow(1 << 16)
        packet = HEADER.pack(number, flags, 1, 0, 0, int(edns)) + question + added
        try:
            try:
                message = await _by_udp(upstream, packet, question, limit_s)
            except _Guessed:
                message = await _by_tcp(upstream, packet, question)
            else:
                if int.from_bytes(message[2:4]) & TC:
                    message = await _by_tcp(upstream, packet, question)
        except (OSError, TimeoutError, EOFError):
            if len(self._surroundings.upstreams) > 1:
                self._shunned = {
                    u: at for u, at in self._shunned.items() if u in self._surroundings.upstreams
                }
                self._shunned[upstream] = time.monotonic() + SHUN_S
            return None
        if edns and message[3] & 0xF in (FORMERR, NOTIMP):
            self._plain = {u for u in self._plain if u in self._surroundings.upstreams}
            self._plain.add(upstream)
            return await self._try(upstream, question, limit_s, dnssec, unchecked)
        return message


def fits(message: bytes, packet: bytes, question: bytes) -> bool:
    """Whether it is an answer to that: its number, and its question but for the case of letters."""
    if len(message) < HEADER_BYTES or message[:2] != packet[:2]:
        return False
    flags, questions = int.from_bytes(message[2:4]), int.from_bytes(message[4:6])
    if not flags & QR or flags & 0x7800:
        return False
    if not questions:  # some say so little when they refuse EDNS
        return flags & 0xF in (FORMERR, NOTIMP) and len(message) == HEADER_BYTES
    end = HEADER_BYTES + len(question)
    asked = message[HEADER_BYTES:end]
    return questions == 1 and asked[:-4].lower() + asked[-4:] == question


async def _by_udp(
    upstream: tuple[str, int], packet: bytes, question: bytes, limit_s: float
) -> bytes:
    """From a port that is chosen anew, to one address: what others send does not reach it."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()
    wrong = 0

    def read() -> None:
        nonlocal wrong
        if arrived.done():
            return
        try:
            message = sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:  # refused, unreachable
            arrived.set_exception(error)
            return
        if fits(message, packet, question):
            arrived.set_result(message)
            return
        wrong += 1
        if wrong > MAX_WRONG:
            arrived.set_exception(_Guessed())

    with _socket(upstream, socket.SOCK_DGRAM) as sock:
        sock.connect(upstream)
        sock.send(packet)
        loop.add_reader(sock, read)
        try:
            async with asyncio.timeout(limit_s):
                return await arrived
        finally:
            loop.remove_reader(sock)


async def _by_tcp(upstream: tuple[str, int], packet: bytes, question: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with _socket(upstream, socket.SOCK_STREAM) as sock:
        async with asyncio.timeout(TCP_S):
            await loop.sock_connect(sock, upstream)
            await loop.sock_sendall(sock, len(packet).to_bytes(2) + packet)
            length = int.from_bytes(await _exactly(sock, 2))
            message = await _exactly(sock, length)
    if not fits(message, packet, question):
        raise EOFError("not an answer")
    return message


async def _exactly(sock: socket.socket, length: int) -> bytes:
    loop, data = asyncio.get_running_loop(), bytearray()
    while len(data) < length:
        chunk = await loop.sock_recv(sock, length - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)


def _socket(upstream: tuple[str, int], kind: socket.SocketKind) -> socket.socket:
    version = ipaddress.ip_address(upstream[0]).version
    sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, kind)
    sock.setblocking(False)
    return sock
