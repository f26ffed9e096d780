"""One command's stream of frames, kept on disk as it came.

A daemon that died is followed by one that finds the file, and asks the agent for the stream from the
file's length on. Followers read the file from its start.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from scaibunker.wire.api.execs import PREVIEW_LIMIT
from scaibunker.wire.guest import frames
from scaibunker.wire.guest.execs import ExecExit
from scaibunker.wire.guest.frames import Kind
from scaibunker.wire.worker.machines import ExecStatus
from scaibunker.worker.guest.text import clean

READ_BYTES = 64 * 1024
CONTROL_LIMIT = 4096
"""Bytes of a frame that carries no output."""
OUTPUT = (Kind.STDOUT, Kind.STDERR)
ENDS = (Kind.EXIT, Kind.ERROR)
KEEPALIVE_S = 15.0


class Budget:
    """Bytes that a machine's spools may still take on the host's disk."""

    def __init__(self, limit: int) -> None:
        self.left = limit


class Spool:
    """A command that runs or ran. `finished` is true once its end, or that it has none, is known."""

    def __init__(self, path: Path, bunker_id: str, budget: Budget) -> None:
        self._path = path
        self._budget = budget
        self._bunker_id = bunker_id
        self._decoder = frames.Decoder()
        self._grown = asyncio.Condition()
        self._preview = bytearray()
        self._counts = {Kind.STDOUT: 0, Kind.STDERR: 0}
        self._exit: ExecExit | None = None
        self._error: str | None = None
        self._size = 0
        self.truncated = False
        self._load()

    @property
    def exec_id(self) -> str:
        return self._path.name.partition(".")[0]

    @property
    def finished(self) -> bool:
        return self._exit is not None or self._error is not None

    @property
    def size(self) -> int:
        """Bytes that are stored: whole frames."""
        return self._size

    @property
    def offset(self) -> int | None:
        """Where the agent should go on; None if only it can know."""
        return None if self.truncated else self._size

    def status(self) -> ExecStatus:
        return ExecStatus(
            bunker_id=self._bunker_id,
            exec_id=self.exec_id,
            running=not self.finished,
            exit=self._exit,
            error=self._error,
            stdout_bytes=self._counts[Kind.STDOUT],
            stderr_bytes=self._counts[Kind.STDERR],
            truncated=self.truncated,
            stdout_preview=self._preview.decode(errors="replace"),
        )

    async def append(self, data: bytes) -> None:
        """Store what came from the agent. Raises ValueError if it is no stream of frames; OSError if
        it cannot be stored."""
        stored = bytearray()
        for frame in self._decoder.feed(data):
            if self.finished:
                raise frames.FrameError("frames behind the last one")
            if frame.kind is Kind.KEEPALIVE:
                continue
            if frame.kind not in OUTPUT and len(frame.payload) > CONTROL_LIMIT:
                raise frames.FrameError(f"{frame.kind.name} of {len(frame.payload)} bytes")
            self._note(frame)
            encoded = frames.encode(frame.kind, frame.payload)
            # The end is stored whatever the budget: it is one small frame.
            if frame.kind in ENDS or len(stored) + len(encoded) <= self._budget.left:
                stored += encoded
            else:
                self.truncated = True
        self._store(bytes(stored))
        await self._wake()

    async def give_up(self, error: str) -> None:
        """The command's end will never be known here."""
        if not self.finished:
            self._error = clean(error)
            with contextlib.suppress(OSError):  # it is told all the same, by this daemon
                self._store(
                    frames.encode_json(Kind.ERROR, {"code": "LOST", "message": self._error})
                )
            await self._wake()

    def reopened(self, *, in_place: bool) -> None:
        """The stream goes on with a whole frame: where the stored part ends, or (`in_place` false)
        wherever the agent's memory begins."""
        self._decoder = frames.Decoder()
        self.truncated = self.truncated or not in_place

    async def follow(self) -> AsyncIterator[bytes]:
        """The stream from its first byte to its end, with keep-alives while nothing happens."""
        position = 0
        with self._path.open("rb") as file:
            while True:
                while position < self._size:
                    data = file.read(min(READ_BYTES, self._size - position))
                    position += len(data)
                    yield data
                if self.finished:
                    return
                if not await self._wait_for_growth(position):
                    yield frames.encode(Kind.KEEPALIVE)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._budget.left += self._size

    async def _wait_for_growth(self, position: int) -> bool:
        try:
            async with asyncio.timeout(KEEPALIVE_S), self._grown:
                await self._grown.wait_for(lambda: self._size > position or self.finished)
        except TimeoutError:
            return False
        return True

    async def _wake(self) -> None:
        async with self._grown:
            self._grown.notify_all()

    def _note(self, frame: frames.Frame) -> None:
        match frame.kind:
            case Kind.STDOUT | Kind.STDERR:
                self._counts[frame.kind] += len(frame.payload)
                if frame.kind is Kind.STDOUT:
                    self._preview += frame.payload[: PREVIEW_LIMIT - len(self._preview)]
            case Kind.EXIT:
                self._exit = ExecExit.model_validate(frame.json())
            case Kind.ERROR:
                self._error = clean(frame.json().get("message", "unknown"))
            case Kind.GAP:
                self.truncated = True
            case _:
                pass

    def _store(self, data: bytes) -> None:
        if data:
            with self._path.open("ab") as file:
                file.write(data)
            self._size += len(data)
            self._budget.left -= len(data)

    def _load(self) -> None:
        """What an earlier daemon stored, cut back to its last good frame."""
        self._path.touch(mode=0o600)
        with self._path.open("r+b") as file:
            try:
                while data := file.read(READ_BYTES):
                    for frame in self._decoder.feed(data):
                        self._note(frame)
                        self._size += frames.HEADER.size + len(frame.payload)
            except ValueError:  # a power cut leaves anything behind the good part
                self.truncated = True
            file.truncate(self._size)
        self._decoder = frames.Decoder()
        self._budget.left -= self._size
