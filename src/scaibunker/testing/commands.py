"""Commands of a simulated guest: a handful of programs, and their frames, kept for whoever comes back.

A shell line may hold several, with `;` between them; `>&2` sends what one says to standard error.
"""

import asyncio
import contextlib
import shlex
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from scaibunker.testing.files import Files
from scaibunker.testing.lives import detached
from scaibunker.wire.guest.execs import ExecExit, ExecStart, GuestExec
from scaibunker.wire.guest.frames import MAX_PAYLOAD, Kind, encode, encode_json

NOT_FOUND = 127
TO_STDERR = ">&2"


class Stdin:
    """What a command is given to read, piece by piece."""

    def __init__(self, kind: str, given: bytes) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        if given:
            self._pieces.put_nowait(given)
        if kind != "open":
            self._pieces.put_nowait(None)

    def feed(self, data: bytes, *, eof: bool) -> None:
        if data:
            self._pieces.put_nowait(data)
        if eof:
            self._pieces.put_nowait(None)

    async def read(self) -> bytes:
        """All of it, when it has ended."""
        read = bytearray()
        while (piece := await self._pieces.get()) is not None:
            read += piece
        return bytes(read)


@dataclass(frozen=True)
class Inside:
    """What a command sees of its machine. `thawed` is set unless the machine is frozen."""

    files: Files
    hostname: Callable[[], str]
    env: Callable[[], dict[str, str]]
    thawed: asyncio.Event


class Command:
    """One that runs or ran."""

    def __init__(self, exec_id: str, pid: int, start: ExecStart, stdin: bytes, inside: Inside):
        self.exec_id = exec_id
        self.stdin = Stdin(start.stdin, stdin)
        self.exit: ExecExit | None = None
        self._pid = pid
        self._start = start
        self._inside = inside
        self._frames = bytearray()
        self._grown = asyncio.Condition()
        self._signal: str | None = None
        self._begun = False
        self._task = detached(self._live(), f"command {exec_id}")

    @property
    def running(self) -> bool:
        return self.exit is None and not self._task.done()

    def described(self) -> GuestExec:
        return GuestExec(
            exec_id=self.exec_id,
            running=self.running,
            pid=self._pid,
            frames_start=0,
            frames_end=len(self._frames),
            exit=self.exit,
        )

    def signal(self, name: str) -> None:
        """It dies of it, whatever it is."""
        if self.exit is None and self._signal is None:
            self._signal = name
            if self._begun:
                self._task.cancel()

    def vanish(self) -> None:
        """Its machine is gone: nobody will hear of its end."""
        self._task.cancel()

    async def follow(self, offset: int) -> AsyncIterator[bytes]:
        """Its stream of frames from that byte on, to its end."""
        while True:
            if offset < len(self._frames):
                data = bytes(self._frames[offset:])
                offset += len(data)
                yield data
            elif self.exit is not None:
                return
            else:
                async with self._grown:
                    if offset == len(self._frames) and self.exit is None:
                        await self._grown.wait()

    async def _live(self) -> None:
        begun = time.monotonic()
        code: int | None = None
        timed_out = False
        self._begun = True
        try:
            async with asyncio.timeout(self._start.timeout_s):
                await self._emit(encode_json(Kind.STARTED, {"pid": self._pid}))
                if self._signal is None:  # which may have come before it began
                    code = await self._run()
        except TimeoutError:
            self._signal, timed_out = "SIGKILL", True
        except asyncio.CancelledError:
            if self._signal is None:
                raise
        self.exit = ExecExit(
            exit_code=code,
            signal=self._signal,
            timed_out=timed_out,
            duration_ms=round((time.monotonic() - begun) * 1000),
        )
        await self._emit(encode_json(Kind.EXIT, self.exit.model_dump()))

    async def _run(self) -> int:
        code = 0
        for words in _programs(self._start):
            kind = Kind.STDERR if TO_STDERR in words else Kind.STDOUT
            program, *arguments = [word for word in words if word != TO_STDERR]
            if program == "exit":
                return int(arguments[0]) if arguments else code
            code = await self._program(program, arguments, kind)
        return code

    async def _program(self, program: str, arguments: Sequence[str], kind: Kind) -> int:
        inside, said = self._inside, b""
        match program.rpartition("/")[2]:
            case "true" | "false" as known:
                return 0 if known == "true" else 1
            case "sleep":
                await asyncio.sleep(sum(float(each) for each in arguments))
                return 0
            case "echo":
                said = " ".join(arguments).encode() + b"\n"
            case "hostname":
                said = inside.hostname().encode() + b"\n"
            case "env":
                both = {**inside.env(), **self._start.env}
                said = "".join(f"{name}={value}\n" for name, value in both.items()).encode()
            case "cat" if arguments:
                for path in arguments:
                    content = inside.files.content(path)
                    if content is None:
                        await self._say(Kind.STDERR, f"cat: {path}: no such file\n".encode())
                        return 1
                    said += content
            case "cat":
                said = await self.stdin.read()
            case unknown:
                await self._say(Kind.STDERR, f"sh: 1: {unknown}: not found\n".encode())
                return NOT_FOUND
        await self._say(kind, said)
        return 0

    async def _say(self, kind: Kind, data: bytes) -> None:
        await self._inside.thawed.wait()
        for offset in range(0, len(data), MAX_PAYLOAD):
            await self._emit(encode(kind, data[offset : offset + MAX_PAYLOAD]))

    async def _emit(self, frame: bytes) -> None:
        self._frames += frame
        async with self._grown:
            self._grown.notify_all()


def _programs(start: ExecStart) -> list[list[str]]:
    if start.argv is not None:
        return [list(start.argv)] if start.argv else []
    words: list[list[str]] = [[]]
    parts = shlex.shlex(start.shell or "", posix=True, punctuation_chars=";")
    parts.whitespace_split = True
    with contextlib.suppress(ValueError):  # an open quotation mark: what came before it is run
        for word in parts:
            if word.strip(";"):
                words[-1].append(word)
            else:
                words.append([])
    return [each for each in words if each]
