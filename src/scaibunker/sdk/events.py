"""What a running command tells, as values: it started, it wrote, some was lost, it ended.

`decode` makes them from server-sent events; `HeadCollector` makes an answer of them that looks as if
the command had been run without streaming.
"""

import base64
import binascii
import codecs
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from scaibunker.sdk.errors import ResponseInvalid
from scaibunker.sdk.records import ExecResult
from scaibunker.sdk.sse import ServerEvent
from scaibunker.wire.api.execs import INLINE_LIMIT
from scaibunker.wire.guest.execs import ExecExit

OutputStream = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class ExecStarted:
    """The command runs; `exec_id` names it in the log and for signals."""

    exec_id: str


@dataclass(frozen=True, slots=True)
class ExecOutput:
    """Bytes that the command wrote, as they came."""

    stream: OutputStream
    data: bytes

    @property
    def text(self) -> str:
        """The bytes as UTF-8; what is not UTF-8, or is cut in mid-character, is replaced."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class ExecGap:
    """So many bytes of what the command told are lost: its worker was away when it told them.

    Only a followed command can have one; a stream that loses bytes while it is read breaks instead.
    """

    missing: int


@dataclass(frozen=True, slots=True)
class ExecExited:
    """The command ended. `exit_code` is null if a signal ended it, which `signal` then names."""

    exec_id: str
    exit_code: int | None
    signal: str | None
    timed_out: bool
    duration_ms: int


ExecEvent = ExecStarted | ExecOutput | ExecGap | ExecExited


def decode(event: ServerEvent) -> ExecEvent | None:
    """The event's meaning; None for a kind that this version does not know."""
    match event.name:
        case "started":
            return ExecStarted(_text(_fields(event), "exec_id", event))
        case "stdout" | "stderr" as stream:
            return ExecOutput(stream, output_bytes(_fields(event), event))
        case "gap":
            return ExecGap(_count(_fields(event), "bytes", event))
        case "exit":
            return _exited(event)
        case _:
            return None


def output_bytes(fields: dict[str, Any], event: ServerEvent) -> bytes:
    """The bytes of an output event, whatever way they were written down."""
    data = _text(fields, "data", event)
    match fields.get("encoding", "utf-8"):
        case "utf-8":
            return data.encode("utf-8", "surrogatepass")
        case "base64":
            try:
                return base64.b64decode(data, validate=True)
            except binascii.Error:
                raise _invalid(event, "`data` is not base64") from None
        case other:
            raise _invalid(event, f"unknown encoding {other!r}")


def _exited(event: ServerEvent) -> ExecExited:
    fields = _fields(event)
    try:
        end = ExecExit.model_validate(fields)
    except ValidationError as error:
        raise _invalid(event, error.errors(include_input=False)[0]["msg"]) from None
    return ExecExited(
        exec_id=_text(fields, "exec_id", event),
        exit_code=end.exit_code,
        signal=end.signal,
        timed_out=end.timed_out,
        duration_ms=end.duration_ms,
    )


def _fields(event: ServerEvent) -> dict[str, Any]:
    try:
        fields = json.loads(event.data)
    except (ValueError, RecursionError):
        raise _invalid(event, "its data is not JSON") from None
    if not isinstance(fields, dict):
        raise _invalid(event, "its data is not an object")
    return fields


def _text(fields: dict[str, Any], name: str, event: ServerEvent) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _invalid(event, f"`{name}` must be a text")
    return value


def _count(fields: dict[str, Any], name: str, event: ServerEvent) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or value < 0:
        raise _invalid(event, f"`{name}` must be a count")
    return value


def _invalid(event: ServerEvent, why: str) -> ResponseInvalid:
    return ResponseInvalid(f"the server sent an `{event.name}` event that is not valid: {why}")


@dataclass(slots=True)
class HeadCollector:
    """Keeps the head of each stream, as a plain exec answers it, and forgets the rest.

    After a gap neither stream is whole, and what follows it is no longer the head.
    """

    limit: int = INLINE_LIMIT
    _heads: dict[OutputStream, bytearray] = field(
        default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()}
    )
    _truncated: set[OutputStream] = field(default_factory=set)
    _exit: ExecExited | None = None

    def add(self, event: ExecEvent) -> None:
        """Take one event."""
        if isinstance(event, ExecOutput):
            head = self._heads[event.stream]
            room = max(0, self.limit - len(head))
            head += event.data[:room]
            if len(event.data) > room:
                self._truncated.add(event.stream)
        elif isinstance(event, ExecGap):
            self._truncated.update(self._heads)
            self.limit = 0
        elif isinstance(event, ExecExited):
            self._exit = event

    @property
    def truncated(self) -> bool:
        """Whether either stream was longer than its head."""
        return bool(self._truncated)

    def result(self, *, full_output_ref: str | None = None) -> ExecResult:
        """The answer. Call it after the `ExecExited` event only."""
        if self._exit is None:
            raise RuntimeError("the command has not ended")
        encoding, stdout, stderr = self._texts()
        return ExecResult(
            exec_id=self._exit.exec_id,
            exit_code=self._exit.exit_code,
            signal=self._exit.signal,
            timed_out=self._exit.timed_out,
            duration_ms=self._exit.duration_ms,
            stdout=stdout,
            stderr=stderr,
            encoding=encoding,
            stdout_truncated="stdout" in self._truncated,
            stderr_truncated="stderr" in self._truncated,
            full_output_ref=full_output_ref,
        )

    def _texts(self) -> tuple[Literal["utf-8", "base64"], str, str]:
        try:
            return "utf-8", self._decoded("stdout"), self._decoded("stderr")
        except UnicodeDecodeError:
            stdout, stderr = (base64.b64encode(head).decode() for head in self._heads.values())
            return "base64", stdout, stderr

    def _decoded(self, stream: OutputStream) -> str:
        # A head that was cut may end in mid-character: those bytes are dropped, it is still text.
        decoder = codecs.getincrementaldecoder("utf-8")()
        return decoder.decode(bytes(self._heads[stream]), final=stream not in self._truncated)
