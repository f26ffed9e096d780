"""`scaibunker bunker snapshot|rm`: copies of bunkers, and their ends, with a last copy if wanted."""

from typing import Annotated

import typer

from scaibunker.cli import values
from scaibunker.cli.each import each
from scaibunker.cli.interrupts import Interrupted
from scaibunker.cli.options import BunkerArgument, BunkersArgument
from scaibunker.cli.output import write_made
from scaibunker.cli.progress import notice, snapshotting, working
from scaibunker.cli.references import bunker_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import BunkerRecord, BunkerStatus, Snapshot, WaitTimedOut


def snapshot(
    session: Session,
    bunker: BunkerArgument,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="disk (its file system), or full (its memory too: what runs goes on).",
        ),
    ] = "disk",
    name: Annotated[str | None, typer.Option("--name", help="A name for the snapshot.")] = None,
    expires_in: Annotated[
        int | None,
        typer.Option(
            "--expires-in",
            parser=values.seconds,
            metavar="TIME",
            help="Delete it after 3600 (seconds), 90m, 24h or 7d [never].",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Come back when it is ready, or at once.")
    ] = True,
) -> None:
    """Copy a bunker and print the snapshot's id. The bunker stands still for a moment, and goes on.

    Leaving early does not end it: see `snapshot show`.
    """
    found = bunker_id(session.client, bunker)
    with working(f"snapshotting {bunker}"):
        made = session.client.snapshots.create(
            found, kind, name=name, expires_in_s=expires_in, wait=False
        )
    if wait:
        made = _awaited(session, made)
    write_made(made, in_json=session.json)


def remove(
    session: Session,
    bunkers: BunkersArgument,
    snapshot: Annotated[
        bool,
        typer.Option("--snapshot", help="Keep a snapshot of each, and end it when that is ready."),
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="Of the snapshot: disk or full [disk]."),
    ] = None,
) -> int:
    """Terminate bunkers. Doing it again changes nothing."""
    client = session.client
    if not snapshot:
        if kind is not None:
            raise typer.BadParameter("--kind is of the snapshot: give --snapshot, too")
        return each(
            session,
            bunkers,
            "terminating",
            lambda name: client.bunkers.delete(bunker_id(client, name)),
        )
    return each(
        session,
        bunkers,
        None,
        lambda name: _ended_with_a_copy(session, bunker_id(client, name), kind or "disk"),
    )


def _ended_with_a_copy(session: Session, bunker: str, kind: str) -> BunkerRecord:
    """Its record once it has ended; until its copy is ready it stands still."""
    client = session.client
    with working(f"snapshotting {bunker}"):
        record = client.bunkers.delete(bunker, snapshot=kind)
    if record.status is BunkerStatus.SNAPSHOTTING:
        made = next(client.snapshots.list(bunker_id=bunker, page_size=1), None)
        if made is not None:
            _awaited(session, made)
    with working(f"terminating {bunker}"):
        return client.bunkers.wait_until(bunker, BunkerStatus.TERMINATED)


def _awaited(session: Session, made: Snapshot) -> Snapshot:
    """The record once it is ready."""
    try:
        with snapshotting() as on_progress:
            return session.client.snapshots.wait_ready(made.id, on_progress=on_progress)
    except (Interrupted, WaitTimedOut):
        notice(f"snapshot {made.id} goes on; to give it up: scaibunker snapshot rm {made.id}")
        raise


def add_to(app: typer.Typer) -> None:
    """Make them commands of the group."""
    app.command("snapshot")(connected(snapshot))
    app.command("rm")(connected(remove))
