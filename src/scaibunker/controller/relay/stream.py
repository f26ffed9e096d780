"""A command whose output is sent as it comes."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from scaibunker.controller.relay.command import (
    GONE,
    Command,
    Relay,
    begin,
    broken_off,
    recorded,
    relayed,
)
from scaibunker.controller.relay.domain import Ending, Output
from scaibunker.controller.relay.frames import StreamBroken, ending_of, gap_of, read_frames
from scaibunker.controller.relay.start import request_body
from scaibunker.controller.relay.text import Piece, TextStream
from scaibunker.wire.api.execs import PREVIEW_LIMIT, ExecRequest
from scaibunker.wire.guest.frames import Frame, Kind
from scaigrid.http.sse import Event
from scaigrid.operation import Operation

_NAMES = {Kind.STDOUT: "stdout", Kind.STDERR: "stderr"}


class Teller:
    """Frames to events, with a short memory of the output for the log."""

    def __init__(self, exec_id: str) -> None:
        self.ending: Ending | None = None
        self._exec_id = exec_id
        self._texts = {kind: TextStream() for kind in _NAMES}
        self._sizes = dict.fromkeys(_NAMES, 0)
        self._heads = dict.fromkeys(_NAMES, b"")

    @property
    def output(self) -> Output:
        """What the log keeps of the output."""
        sizes = (self._sizes[Kind.STDOUT], self._sizes[Kind.STDERR])
        return Output.of(self._heads[Kind.STDOUT], self._heads[Kind.STDERR], sizes)

    async def events(self, frames: AsyncGenerator[Frame, None]) -> AsyncGenerator[Event, None]:
        """The events of a stream of frames, which is closed after them: the first one is `started`,
        the last one `exit`. Raises StreamBroken."""
        yield Event("started", {"exec_id": self._exec_id})
        async with contextlib.aclosing(frames):
            async for frame in frames:
                if frame.kind in _NAMES:
                    piece = self._take(frame)
                    if piece is not None:
                        yield _output(frame.kind, piece)
                elif frame.kind is Kind.GAP:
                    yield Event("gap", {"bytes": gap_of(frame)})
                elif frame.kind is Kind.EXIT:
                    self.ending = ending_of(frame)
                    for kind, text in self._texts.items():
                        rest = text.end()
                        if rest is not None:
                            yield _output(kind, rest)
                    yield exit_event(self._exec_id, self.ending)

    def _take(self, frame: Frame) -> Piece | None:
        kind = frame.kind
        self._sizes[kind] += len(frame.payload)
        if len(self._heads[kind]) < PREVIEW_LIMIT:
            self._heads[kind] = (self._heads[kind] + frame.payload)[:PREVIEW_LIMIT]
        return self._texts[kind].feed(frame.payload)


def _output(kind: Kind, piece: Piece) -> Event:
    return Event(_NAMES[kind], {"data": piece.data, "encoding": piece.encoding})


def exit_event(exec_id: str, ending: Ending) -> Event:
    """How the command ended."""
    return Event(
        "exit",
        {
            "exec_id": exec_id,
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "timed_out": ending.timed_out,
            "duration_ms": ending.duration_ms,
        },
    )


@dataclass(frozen=True, slots=True)
class Running:
    """A command that its worker has taken. Closing `held` ends it, unless it has ended."""

    events: AsyncGenerator[Event, None]
    held: contextlib.AsyncExitStack


async def open_stream(relay: Relay, op: Operation, bunker_id: str, body: ExecRequest) -> Running:
    """Start a command; returns once the worker has taken it.

    What goes wrong before that is raised here, so that it has a status of its own.
    """
    data = request_body(body)
    command = await begin(relay, op, bunker_id, body)
    held = contextlib.AsyncExitStack()
    try:
        held.enter_context(relay.activity.use(bunker_id))
        response = await held.enter_async_context(relayed(relay, command, data, body.timeout_s))
        await recorded(relay, command)
    except BaseException:
        await held.aclose()
        raise
    frames = read_frames(response, body.timeout_s + relay.settings.exec_grace_s)
    return Running(_events(relay, command, frames), held)


async def _events(
    relay: Relay, command: Command, frames: AsyncGenerator[Frame, None]
) -> AsyncGenerator[Event, None]:
    """The events. Closed early, which means that the caller is gone, it says so in the log."""
    entry = command.entry
    teller = Teller(entry.id)
    why, ended = GONE, False
    try:
        async with contextlib.aclosing(teller.events(frames)) as events:
            async for event in events:
                if teller.ending is not None and not ended:
                    ended = True
                    end = relay.log.end(entry.id, teller.ending, teller.output)
                    await relay.log.written(end)
                yield event
    except StreamBroken as broken:
        why = str(broken)
        raise broken_off(entry.id, broken) from None
    finally:
        if teller.ending is None:
            relay.log.lose(entry.id, why, teller.output)
