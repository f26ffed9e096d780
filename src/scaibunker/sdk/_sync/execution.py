# Generated from _async/execution.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""A command that was started to run on its own: follow it, feed it, signal it, read its output."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Literal

from scaibunker.sdk import _calls, _requests
from scaibunker.sdk._calls import Call, bunker_path
from scaibunker.sdk._runtime import sleep
from scaibunker.sdk._sync.exec_stream import ExecStream
from scaibunker.sdk._sync.following import followed
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk.errors import WaitTimedOut
from scaibunker.sdk.events import HeadCollector
from scaibunker.sdk.records import ExecResult
from scaibunker.sdk.waiting import pauses
from scaibunker.wire.api.execs import ExecRecord, SignalRequest, StdinRequest

LONGEST_COMMAND_S = 86_400.0


class Execution:
    """A started command, by its bunker's id and its own."""

    def __init__(self, transport: Transport, bunker_id: str, exec_id: str) -> None:
        self._transport = transport
        self.bunker_id = bunker_id
        self.exec_id = _calls.checked_id("exec id", exec_id)

    def record(self) -> ExecRecord:
        """Its entry in the exec log as it is now."""
        return self._transport.record(_calls.get(self._path()), ExecRecord)

    def wait(self, *, timeout: float) -> ExecRecord:
        """Wait until it runs no more. Raises `WaitTimedOut` after `timeout` seconds."""
        record = self.record()
        for pause in pauses(timeout):
            if record.state != "running":
                break
            sleep(pause)
            record = self.record()
        if record.state == "running":
            raise WaitTimedOut(f"command {self.exec_id} still runs after {timeout:g} s")
        return record

    @contextmanager
    def events(self) -> Iterator[ExecStream]:
        """Follow it from its start to its end. Leaving early does not end the command.

        A connection that breaks is made again, and the stream goes on where it was.
        """
        call = _calls.get(self._path("events"))
        with closing(followed(self._transport, call)) as events:
            yield ExecStream(events, self.exec_id)

    def result(self) -> ExecResult:
        """Follow it to its end; its result as if it had been run by `run`."""
        collector = HeadCollector()
        with self.events() as events:
            for event in events:
                collector.add(event)
        reference = (self.record()).full_output_ref if collector.truncated else None
        return collector.result(full_output_ref=reference)

    def signal(self, signal: str) -> None:
        """Send a signal, `SIGTERM` for instance, to its whole process group."""
        self._post("signal", _calls.body(SignalRequest, {"signal": signal}), None)

    def write_stdin(self, data: str | bytes, *, eof: bool = False) -> None:
        """Write to its standard input, 16 MiB at most; with `eof`, close it afterwards.

        Comes back when the command has room for them, however long that takes. Raises `Conflict`
        when the command has ended, or reads no more. One caller at a time, or bytes may mix.
        """
        request = _requests.stdin_request(data, eof=eof)
        self._post("stdin", request, LONGEST_COMMAND_S)

    def close_stdin(self) -> None:
        """End its standard input."""
        self.write_stdin(b"", eof=True)

    @contextmanager
    def output(self, stream: Literal["stdout", "stderr"] = "stdout") -> Iterator[Iterator[bytes]]:
        """The whole of what it wrote to one stream, chunk by chunk."""
        with self._transport.raw(_calls.get(self._path("output"), stream=stream)) as chunks:
            yield chunks

    def _path(self, *rest: str) -> str:
        return bunker_path(self.bunker_id, "execs", self.exec_id, *rest)

    def _post(
        self, verb: str, request: SignalRequest | StdinRequest, read_timeout: float | None
    ) -> None:
        call = Call("POST", self._path(verb), body=request, read_timeout=read_timeout)
        self._transport.done(call)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.exec_id} in {self.bunker_id}>"
