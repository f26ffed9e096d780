"""`scaibunker bunker execs|attach|signal`: the commands of a bunker that run or have run."""

import shlex
from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from scaibunker.cli import foreground, texts
from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.options import BunkerArgument, LimitOption
from scaibunker.cli.output import Column, write_json, write_records
from scaibunker.cli.references import bunker_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import ExecRecord

ExecArgument = Annotated[str, typer.Argument(metavar="EXEC", help="The command's id.")]

_COLUMNS: Sequence[Column[ExecRecord]] = (
    ("ID", lambda record: record.exec_id),
    ("STATE", lambda record: record.state),
    ("EXIT", lambda record: record.signal or record.exit_code),
    ("USER", lambda record: record.user),
    ("MS", lambda record: record.duration_ms),
    ("AGE", lambda record: texts.age(record.started_at)),
    ("COMMAND", lambda record: _command(record)[:80]),
)


def execs(session: Session, bunker: BunkerArgument, limit: LimitOption = 50) -> None:
    """List the commands of a bunker, newest first."""
    found = session.client.execs(bunker_id(session.client, bunker)).list()
    write_records(_COLUMNS, islice(found, limit), in_json=session.json)


def attach(session: Session, bunker: BunkerArgument, exec_id: ExecArgument) -> int:
    """Follow a detached command from its start to its end, and exit with its code.

    Leaving does not end the command.
    """
    execution = session.client.execs(bunker_id(session.client, bunker)).execution(exec_id)
    return foreground.attach(session, execution)


def signal(
    session: Session,
    bunker: BunkerArgument,
    exec_id: ExecArgument,
    name: Annotated[
        str, typer.Option("--signal", "-s", metavar="NAME", help="Its name, SIGKILL for instance.")
    ] = "SIGTERM",
) -> None:
    """Send a signal to a command's whole process group."""
    execution = session.client.execs(bunker_id(session.client, bunker)).execution(exec_id)
    execution.signal(name)
    if session.json:
        write_json({"bunker_id": execution.bunker_id, "exec_id": exec_id, "signal": name})


def add_to(app: typer.Typer) -> None:
    """Make them commands of the group."""
    app.command("execs")(connected(execs))
    app.command("attach")(connected(attach, failure=ExitCode.NOT_RUN))
    app.command("signal")(connected(signal))


def _command(record: ExecRecord) -> str:
    if isinstance(record.command, str):
        return record.command
    return shlex.join(record.command)
