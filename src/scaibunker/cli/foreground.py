"""Runs a command in a bunker as if it ran here: its bytes out as they come, our input in, its code.

Leaving early, by a signal or a closed pipe, ends the command. Where the bunker comes from, and what
becomes of it, is the verbs' business.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from scaibunker.cli import endings
from scaibunker.cli.output import as_json, write_json
from scaibunker.cli.progress import notice
from scaibunker.cli.session import Session
from scaibunker.cli.stdin import Feeder, Input
from scaibunker.sdk import (
    ExecExited,
    ExecGap,
    ExecOptions,
    ExecOutput,
    ExecResult,
    ExecStream,
    Execution,
    ScaiBunkerError,
)


def run(
    session: Session,
    bunker_id: str,
    command: Sequence[str],
    source: Input | None,
    options: ExecOptions,
) -> int:
    """Run it and pass its output on, or print its result as JSON; gives our own exit code."""
    execs = session.client.execs(bunker_id)
    whole = source.whole() if source else b""
    with_input: ExecOptions = {**options, "stdin": whole}
    end: ExecExited | ExecResult
    if source and whole is None:
        execution = execs.start(command, **options)
        with _fed(execution, source):
            end = _followed(session, execution)
    elif session.json:
        end = execs.run(command, **with_input)
    else:
        with execs.stream(command, **with_input) as stream:
            end = passed_on(stream)
    return _ended(bunker_id, end)


def attach(session: Session, execution: Execution) -> int:
    """The same for a command that was started on its own, which leaving early does not end."""
    return _ended(execution.bunker_id, _followed(session, execution))


def passed_on(stream: ExecStream) -> ExecExited:
    """Write a command's bytes to where ours go, until it ends."""
    sinks = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    for event in stream:
        if isinstance(event, ExecOutput):
            sinks[event.stream].write(event.data)
            sinks[event.stream].flush()
        elif isinstance(event, ExecGap):
            notice(f"warning: {event.missing} bytes are missing here: the worker was away")
        elif isinstance(event, ExecExited):
            end = event
    return end


def _followed(session: Session, execution: Execution) -> ExecExited | ExecResult:
    if session.json:
        return execution.result()
    with execution.events() as stream:
        return passed_on(stream)


def _ended(bunker_id: str, end: ExecExited | ExecResult) -> int:
    if isinstance(end, ExecResult):
        write_json({"bunker_id": bunker_id, **as_json(end)})
    return endings.exit_code(end)


@contextmanager
def _fed(execution: Execution, source: Input) -> Iterator[None]:
    """A detached command does not end with our connection, so its end has to be ours to see to."""
    feeder = Feeder(execution, source)
    feeder.start()
    try:
        yield
    except BaseException:
        with suppress(ScaiBunkerError):
            execution.signal("SIGKILL")
        raise
    finally:
        feeder.forget()
    if feeder.error is not None:
        raise feeder.error
