"""What commands of a simulated worker do to their streams of frames."""

import asyncio
from collections.abc import Awaitable, Callable

from scaibunker.wire.guest.execs import ExecExit, ExecStart
from scaibunker.wire.guest.frames import Kind, encode, encode_json

BINARY = bytes(range(256)) * 1000


class Output:
    """Where a command of the simulation writes its frames."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]], stdin: bytes) -> None:
        self.raw = write
        self.stdin = stdin

    async def out(self, data: bytes) -> None:
        for offset in range(0, len(data), 65536):
            await self.raw(encode(Kind.STDOUT, data[offset : offset + 65536]))

    async def err(self, data: bytes) -> None:
        await self.raw(encode(Kind.STDERR, data))

    async def exit(
        self, code: int | None = 0, *, signal: str | None = None, timed_out: bool = False
    ) -> None:
        end = ExecExit(exit_code=code, signal=signal, timed_out=timed_out, duration_ms=3)
        await self.raw(encode_json(Kind.EXIT, end.model_dump()))

    async def error(self, code: str, message: str) -> None:
        await self.raw(encode_json(Kind.ERROR, {"code": code, "message": message}))


Behaviour = Callable[[ExecStart, Output], Awaitable[None]]


class Vanish(Exception):
    """Raised by a behaviour: the connection is cut where it stands."""


async def echo(start: ExecStart, output: Output) -> None:
    """The default command: says what it was given."""
    await output.out((start.shell or " ".join(start.argv or [])).encode())
    await output.exit(0)


async def speak(_: ExecStart, output: Output) -> None:
    """Every byte there is on standard output, its input on standard error."""
    await output.out(BINARY)
    await output.err(output.stdin)
    await output.exit(3)


async def vanish(_: ExecStart, output: Output) -> None:
    """Its worker dies when it has written something."""
    await output.out(b"partial")
    await asyncio.sleep(0.1)  # what was written gets through
    raise Vanish


def saying(out: bytes = b"", err: bytes = b"", code: int = 0) -> Behaviour:
    """A command that writes so much and ends."""

    async def behaviour(_: ExecStart, output: Output) -> None:
        await output.out(out)
        if err:
            await output.err(err)
        await output.exit(code)

    return behaviour


def pausing(go_on: asyncio.Event, first: bytes, second: bytes = b"", code: int = 0) -> Behaviour:
    """A command that writes `first` and, once it may go on, `second`, and ends."""

    async def behaviour(_: ExecStart, output: Output) -> None:
        await output.out(first)
        await go_on.wait()
        await output.out(second)
        await output.exit(code)

    return behaviour


def hanging(out: bytes = b"") -> Behaviour:
    """A command that writes so much and never ends."""
    return pausing(asyncio.Event(), out)
