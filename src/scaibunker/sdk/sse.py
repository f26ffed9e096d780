"""Server-sent events from bytes, in whatever pieces they arrive.

Follows the WHATWG rules for `text/event-stream`: LF, CR and CRLF end lines, comments are dropped,
several `data` lines are joined by LF, an event without `data` does not count. `id` and `retry` are
not used by this API. What an event means is `events`' business.
"""

from dataclasses import dataclass, field

from scaibunker.sdk.errors import StreamBroken

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Bytes of one event at most: a server that never ends a line must not fill our memory."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `name` is `message` when the server gave none."""

    name: str
    data: str


@dataclass(slots=True)
class SseDecoder:
    """Feed it chunks, take events. A piece of an event at the end of the stream is never given."""

    _partial: list[bytes] = field(default_factory=list)
    _size: int = 0
    _skip_lf: bool = False
    _at_start: bool = True
    _name: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that this chunk completes."""
        if not chunk:
            return []
        if self._skip_lf:
            chunk = chunk.removeprefix(b"\n")
        events = []
        for piece in chunk.splitlines(keepends=True):
            self._grow(len(piece))
            self._partial.append(piece)
            if piece[-1:] not in (b"\n", b"\r"):
                break
            line = b"".join(self._partial).rstrip(b"\r\n")
            self._partial.clear()
            event = self._take_line(line)
            if event is not None:
                events.append(event)
        # A CR at the end of a chunk has ended its line; an LF that follows belongs to it.
        self._skip_lf = chunk[-1:] == b"\r"
        return events

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_EVENT_BYTES:
            raise StreamBroken(f"the server sent an event of more than {MAX_EVENT_BYTES} bytes")

    def _take_line(self, raw: bytes) -> ServerEvent | None:
        if self._at_start:
            self._at_start = False
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if not raw:
            return self._dispatch()
        name, _, value = raw.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
        elif name == b"event":
            self._name = text
        elif not name and not self._data:  # a comment between events: nothing is being held
            self._size = 0
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name or "message", self._data
        self._name, self._data, self._size = "", [], 0
        return ServerEvent(name, "\n".join(data)) if data else None
