"""Going on with a stream that broke: it begins again from its start, and what was had is dropped.

The server keeps what a detached command tells, byte for byte, so that counting is enough. Where it
has lost something meanwhile, counting would drop the wrong bytes: that is told as a broken stream.
Reconnecting is `_async.following`.
"""

from dataclasses import dataclass, field

from scaibunker.sdk.errors import StreamBroken
from scaibunker.sdk.events import ExecEvent, ExecGap, ExecOutput, ExecStarted, OutputStream


def _nothing() -> dict[OutputStream, int]:
    return {"stdout": 0, "stderr": 0}


@dataclass(slots=True)
class Replay:
    """Counts what is passed on, and after `again` leaves out as much. `begun`: there was a start."""

    _had: dict[OutputStream, int] = field(default_factory=_nothing)
    _left: dict[OutputStream, int] = field(default_factory=_nothing)
    _gaps_had: int = 0
    _gaps_left: int = 0
    begun: bool = False

    def again(self) -> None:
        """The stream begins again."""
        self._left = dict(self._had)
        self._gaps_left = self._gaps_had

    def unseen(self, event: ExecEvent) -> ExecEvent | None:
        """What of an event is new. Raises `StreamBroken` if the stream is not the same again."""
        match event:
            case ExecStarted():
                is_new, self.begun = not self.begun, True
                return event if is_new else None
            case ExecOutput():
                return self._unseen_output(event)
            case ExecGap() if self._gaps_left:
                self._gaps_left -= 1
                return None
            case ExecGap():
                self._check_caught_up()
                self._gaps_had += 1
                return event
            case _:
                self._check_caught_up()
                return event

    def _unseen_output(self, event: ExecOutput) -> ExecOutput | None:
        skipped = min(self._left[event.stream], len(event.data))
        self._left[event.stream] -= skipped
        rest = event.data[skipped:]
        self._had[event.stream] += len(rest)
        return ExecOutput(event.stream, rest) if rest else None

    def _check_caught_up(self) -> None:
        if any(self._left.values()):
            raise StreamBroken("the server has lost a part of the stream that it had sent before")
