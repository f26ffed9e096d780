"""`scaibunker run`: a bunker for one command, gone when it is done."""

from typing import Annotated

import typer

from scaibunker.cli import foreground, stdin
from scaibunker.cli.creation import bunker_options, origin
from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.options import (
    DEFAULT_TIMEOUT_S,
    AllowOption,
    BandwidthOption,
    CpuOption,
    CwdOption,
    DiskOption,
    EnvOption,
    FromSnapshotOption,
    ImageArgument,
    KeepOption,
    LabelOption,
    MemoryOption,
    NameOption,
    NetworkOption,
    SnapshotKindOption,
    TimeoutOption,
    UserOption,
    new_app,
)
from scaibunker.cli.progress import notice, working
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import Bunker, ExecOptions, NotFound, ScaiBunkerError

app = new_app()

OptionalCommandArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="CMD", help="The command and its arguments, after --; no shell."),
]
_SLACK_S = 600
"""Seconds that a bunker lives longer than its command may: if we die, it does not stay."""


def run(
    session: Session,
    image: ImageArgument = None,
    command: OptionalCommandArgument = None,
    snapshot: FromSnapshotOption = None,
    snapshot_kind: SnapshotKindOption = None,
    cpu: CpuOption = None,
    memory: MemoryOption = None,
    disk: DiskOption = None,
    env: EnvOption = None,
    label: LabelOption = None,
    name: NameOption = None,
    network: NetworkOption = None,
    allow: AllowOption = None,
    bandwidth: BandwidthOption = None,
    user: UserOption = "bunker",
    cwd: CwdOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    keep: KeepOption = False,
) -> int:
    """Run a command in a new bunker, and terminate it.

    Output comes as it is written, standard input goes in if it is a pipe or a file, and the exit
    code is the command's: 124 after --timeout, 128 + N if signal N ended it, 125 if it could not be
    run. The bunker is terminated whatever happens, on Ctrl-C and SIGTERM too, unless --keep.
    """
    image, words = _split(image, command or [], snapshot)
    source = stdin.opened(session.surroundings.stdin)
    options = bunker_options(
        session.surroundings.environ,
        made_of=origin(session.client, image, snapshot),
        snapshot_kind=snapshot_kind,
        env=env,
        label=label,
        name=name,
        cpu_millicores=cpu,
        memory_mb=memory,
        disk_mb=disk,
        network_profile=network,
        network_allowlist=allow,
        bandwidth_mbit=bandwidth,
        max_lifetime_s=None if keep else int(timeout) + _SLACK_S,
    )
    bunker = None
    try:
        with working(f"creating a bunker from {image or snapshot}"):
            bunker = session.client.bunkers.create(wait=True, **options)
        exec_options = ExecOptions(timeout_s=timeout, user=user, cwd=cwd)
        return foreground.run(session, bunker.id, words, source, exec_options)
    finally:
        if bunker is None:
            pass  # what an interrupted create leaves is taken back by the SDK
        elif keep:
            notice(f"bunker {bunker.id} is kept")
        else:
            _terminate(session, bunker)


def _split(
    image: str | None, command: list[str], snapshot: str | None
) -> tuple[str | None, list[str]]:
    """With a snapshot the first word is not an image: all of them are the command."""
    if snapshot is not None and image is not None:
        return None, [image, *command]
    if not command:
        raise typer.BadParameter("a CMD to run is needed")
    return image, command


def _terminate(session: Session, bunker: Bunker) -> None:
    with session.interrupts.cleaning_up(), working(f"terminating {bunker.id}"):
        try:
            bunker.delete()
        except NotFound:
            return
        except ScaiBunkerError as error:
            notice(f"warning: bunker {bunker.id} may still exist: {error}")
            notice(f"to remove it: scaibunker bunker rm {bunker.id}")


app.command("run")(connected(run, failure=ExitCode.NOT_RUN))
