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

    async def send(self, body: bytes, files: Sequence[int] = ()) -> None:
        """Raises Broken. The caller keeps, and closes, its copies of `files`."""
        if len(body) > MAX_FRAME_BYTES or len(files) > MAX_FILES:
            raise Broken("too large for a frame")
        async with self._sending:
            try:
                sent = await self._send_start(HEADER.pack(len(body)) + body, files)
                rest = memoryview(HEADER.pack(len(body)) + body)[sent:]
                await asyncio.get_running_loop().sock_sendall(self._sock, rest)
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
        self._sock.close()

    async def _send_start(self, data: bytes, files: Sequence[int]) -> int:
        """Files travel with the first bytes; how many went."""
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
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        number = self._sock.fileno()
        (loop.add_writer if write else loop.add_reader)(number, tell)
        try:
            await ready
        finally:
            (loop.remove_writer if write else loop.remove_reader)(number)


def _files(rights: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
