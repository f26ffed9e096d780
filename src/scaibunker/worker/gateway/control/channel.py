"""Frames over a UNIX stream: four bytes of length (big-endian), JSON, and open files with the first byte."""

import array
import asyncio
import os
import socket
import struct
from collections.abc import Sequence

MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_FILES = 16
HEADER = struct.Struct("!I")


class Broken(Exception):
    """The other side is gone, or says what is no frame."""


class Channel:
    """One end. Frames of several senders never mix; one reader at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._sending = asyncio.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    async def send(self, body: bytes, files: Sequence[int] = ()) -> None:
        """Raises Broken. The caller keeps, and closes, its copies of `files`."""
        if len(body) > MAX_FRAME_BYTES or len(files) > MAX_FILES:
            raise Broken("too large for a frame")
        data = HEADER.pack(len(body)) + body
        async with self._sending:
            try:
                rest = memoryview(data)[await self._send_some(data, files) :]
                while rest:
                    rest = rest[await self._send_some(rest) :]
            except OSError as error:
                raise Broken(str(error)) from error

    async def receive(self) -> tuple[bytes, list[int]]:
        """The next frame, and the files that came with it: the caller's now. Raises Broken, also at the end."""
        files: list[int] = []
        try:
            header = await self._exactly(HEADER.size, files)
            (length,) = HEADER.unpack(header)
            if length > MAX_FRAME_BYTES:
                raise Broken(f"a frame of {length} bytes")
            return await self._exactly(length, files), files
        except BaseException as error:
            for number in files:
                os.close(number)
            if isinstance(error, OSError):
                raise Broken(str(error)) from error
            raise

    def peer(self) -> tuple[int, int]:
        """Pid and uid of the other side, as the kernel knows them (of whom listens: when it began to listen)."""
        size = struct.calcsize("3i")
        pid, uid, _ = struct.unpack(
            "3i", self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        return pid, uid

    def close(self) -> None:
        """Who waits for it gets Broken."""
        number = self._sock.fileno()
        if number < 0:
            return
        loop = asyncio.get_running_loop()
        # Before its number is another file's.
        loop.remove_reader(number)
        loop.remove_writer(number)
        self._sock.close()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(Broken("closed"))

    async def _send_some(self, data: bytes | memoryview, files: Sequence[int] = ()) -> int:
        """Files travel with the first bytes; how many bytes went."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        while True:
            try:
                return self._sock.sendmsg([data], rights)
            except BlockingIOError:
                await self._ready(write=True)

    async def _exactly(self, length: int, files: list[int]) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                chunk, rights, flags, _ = self._sock.recvmsg(
                    min(length - len(data), 1 << 16),
                    socket.CMSG_SPACE(MAX_FILES * 4),
                    socket.MSG_CMSG_CLOEXEC,
                )
            except BlockingIOError:
                await self._ready(write=False)
                continue
            files += _files(rights)
            if not chunk:
                raise Broken("closed by the other side")
            if flags & socket.MSG_CTRUNC or len(files) > MAX_FILES:
                raise Broken("too many files")
            data += chunk
        return bytes(data)

    async def _ready(self, *, write: bool) -> None:
        loop, number = asyncio.get_running_loop(), self._sock.fileno()
        ready: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        (loop.add_writer if write else loop.add_reader)(number, tell)
        self._waiting.add(ready)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if self._sock.fileno() == number:
                (loop.remove_writer if write else loop.remove_reader)(number)


def _files(rights: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
