# Generated from _async/exec_stream.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""The events of one command, checked: an end that was not announced is never taken for one."""

from collections.abc import Iterator

from scaibunker.sdk.errors import StreamBroken
from scaibunker.sdk.events import ExecEvent, ExecExited, ExecStarted, decode
from scaibunker.sdk.sse import ServerEvent


class ExecStream:
    """Iterate over it for the command's events; the last one is `ExecExited`.

    A stream that ends in any other way raises `StreamBroken`, and the command's fate is unknown.
    `exec_id` is known from the first event on, `exit` after the last.
    """

    def __init__(self, events: Iterator[ExecEvent], exec_id: str | None = None) -> None:
        self._events = events
        self.exec_id = exec_id
        self.exit: ExecExited | None = None

    def __iter__(self) -> Iterator[ExecEvent]:
        try:
            for event in self._events:
                self._note(event)
                yield event
        except StreamBroken as error:
            error.exec_id = error.exec_id or self.exec_id
            raise
        if self.exit is None:
            raise StreamBroken("the stream ended without an exit code", exec_id=self.exec_id)

    def _note(self, event: ExecEvent) -> None:
        if self.exit is not None:
            raise StreamBroken("the stream went on after the command's end", exec_id=self.exec_id)
        if isinstance(event, ExecStarted):
            self.exec_id = event.exec_id
        elif isinstance(event, ExecExited):
            self.exec_id, self.exit = event.exec_id, event


def decoded(events: Iterator[ServerEvent]) -> Iterator[ExecEvent]:
    """Server-sent events as what they mean; kinds that this version does not know are left out."""
    for source in events:
        event = decode(source)
        if event is not None:
            yield event
