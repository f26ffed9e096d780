"""rtnetlink, as far as slots need it: messages of many objects go to the kernel in one piece, on any thread.

A library would do; but slots are made while others' requests wait, and this takes a fiftieth of the time.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
NESTED = 0x8000
ERROR, DONE = 2, 3
ROUTE = 0
SOL_NETLINK, CAP_ACK = 270, 10
ANSWER_S = 10.0
BUFFER = 64 * 1024
HEADER = struct.Struct("=IHHII")

Attributes = dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """`flags` besides those of every request; `what` is named if the kernel refuses it."""

    kind: int
    flags: int
    body: bytes
    what: str


class RtNetlink:
    """A socket in the namespace of the thread that makes it. Raises OSError."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, ROUTE)
        self._socket.settimeout(ANSWER_S)
        self._socket.setsockopt(SOL_NETLINK, CAP_ACK, 1)
        self._socket.bind((0, 0))

    def __enter__(self) -> "RtNetlink":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def do(self, *messages: Message) -> None:
        """All of them, in order. Raises OSError for the first that the kernel refuses; it has tried the others."""
        data = b"".join(
            HEADER.pack(HEADER.size + len(m.body), m.kind, REQUEST | ACK | m.flags, number, 0)
            + m.body
            for number, m in enumerate(messages)
        )
        self._socket.send(data)
        answered, failure = 0, None
        while answered < len(messages):
            for kind, number, body in _split(self._socket.recv(BUFFER)):
                if kind != ERROR:
                    continue
                answered += 1
                (code,) = struct.unpack_from("=i", body)
                if code and failure is None:
                    failure = OSError(-code, f"{messages[number].what}: {os.strerror(-code)}")
        if failure is not None:
            raise failure

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of all objects of a kind. Raises OSError."""
        flags = REQUEST | DUMP
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body)
        found: list[bytes] = []
        while True:
            for answered, _, object_body in _split(self._socket.recv(BUFFER)):
                if answered == DONE:
                    return found
                if answered == ERROR:
                    (code,) = struct.unpack_from("=i", object_body)
                    raise OSError(-code, os.strerror(-code))
                found.append(object_body)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(attributes))


def attributes(data: bytes) -> Attributes:
    """Of what a dump gave, after its fixed part."""
    found: Attributes = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & ~NESTED] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def is_gone(error: OSError) -> bool:
    """Whether what was to be changed is not there."""
    return error.errno in (errno.ENODEV, errno.ENOENT, errno.ENXIO)


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, number of the request, and body of each message."""
    while len(data) >= HEADER.size:
        length, kind, _, request, _ = HEADER.unpack_from(data)
        if length < HEADER.size:
            return
        yield kind, request, data[HEADER.size : length]
        data = data[(length + 3) & ~3 :]
