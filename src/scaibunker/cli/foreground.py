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
    Execs,
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
    if session.json:
        return reported(bunker_id, _captured(execs, command, source, options))
    return endings.exit_code(_streamed(execs, command, source, options))


def reported(bunker_id: str, result: ExecResult) -> int:
    """Print a result as JSON; gives our own exit code."""
    write_json({"bunker_id": bunker_id, **as_json(result)})
    return endings.exit_code(result)


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


def _streamed(
    execs: Execs, command: Sequence[str], source: Input | None, options: ExecOptions
) -> ExecExited:
    """Run it with its output passed on."""
    whole = source.whole() if source else b""
    if source and whole is None:
        execution = execs.start(command, **options)
        with _fed(execution, source), execution.events() as stream:
            return passed_on(stream)
    with execs.stream(command, **_with_input(options, whole)) as stream:
        return passed_on(stream)


def _captured(
    execs: Execs, command: Sequence[str], source: Input | None, options: ExecOptions
) -> ExecResult:
    """Run it with the head of its output kept."""
    whole = source.whole() if source else b""
    if source and whole is None:
        execution = execs.start(command, **options)
        with _fed(execution, source):
            return execution.result()
    return execs.run(command, **_with_input(options, whole))


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


def _with_input(options: ExecOptions, whole: bytes | None) -> ExecOptions:
    return {**options, "stdin": whole}
