"""`scaibunker exec`: a command in a bunker that is there."""

from typing import Annotated

import typer

from scaibunker.cli import foreground, stdin
from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.failures import CommandError
from scaibunker.cli.options import (
    DEFAULT_TIMEOUT_S,
    BunkerArgument,
    CommandArgument,
    CwdOption,
    EnvOption,
    TimeoutOption,
    UserOption,
    new_app,
)
from scaibunker.cli.output import write_json
from scaibunker.cli.references import bunker_id
from scaibunker.cli.session import Session, connected
from scaibunker.cli.values import environment
from scaibunker.sdk import ExecOptions

app = new_app()


def exec_(
    session: Session,
    bunker: BunkerArgument,
    command: CommandArgument,
    env: EnvOption = None,
    user: UserOption = "bunker",
    cwd: CwdOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    interactive: Annotated[
        bool, typer.Option("--stdin", "-i", help="Pass our standard input to the command.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Start it, print its id, and go.")
    ] = False,
) -> int:
    """Run a command in a bunker.

    Output comes as it is written, and the exit code is the command's: 124 after --timeout, 128 + N
    if signal N ended it, 125 if it could not be run. Ctrl-C ends the command. One that was started
    with --detach goes on by itself: see `bunker execs`, `bunker attach` and `bunker signal`.
    """
    if interactive and detach:
        raise CommandError("--stdin and --detach exclude each other", exit_code=ExitCode.USAGE)
    options = ExecOptions(timeout_s=timeout, user=user, cwd=cwd)
    if env:
        options["env"] = environment(env, session.surroundings.environ)
    found = bunker_id(session.client, bunker)
    if detach:
        execution = session.client.execs(found).start(command, **options)
        if session.json:
            write_json({"bunker_id": found, "exec_id": execution.exec_id})
        else:
            typer.echo(execution.exec_id)
        return ExitCode.OK
    source = stdin.opened(session.surroundings.stdin) if interactive else None
    return foreground.run(session, found, command, source, options)


app.command("exec")(connected(exec_, failure=ExitCode.NOT_RUN))
