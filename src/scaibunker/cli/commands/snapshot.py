"""`scaibunker snapshot ...`: copies of bunkers. They are made by `bunker snapshot`."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from scaibunker.cli import texts
from scaibunker.cli.each import each
from scaibunker.cli.options import LimitOption, SnapshotArgument, SnapshotsArgument, new_app
from scaibunker.cli.output import Column, write_record, write_records
from scaibunker.cli.references import bunker_id, snapshot_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import Snapshot

app = new_app()

_COLUMNS: Sequence[Column[Snapshot]] = (
    ("ID", lambda snapshot: snapshot.id),
    ("NAME", lambda snapshot: snapshot.name),
    ("KIND", lambda snapshot: snapshot.kind),
    ("STATUS", lambda snapshot: _status(snapshot)),
    ("BUNKER", lambda snapshot: snapshot.bunker_id),
    ("IMAGE", lambda snapshot: snapshot.image),
    ("SIZE", lambda snapshot: texts.size(snapshot.size_bytes)),
    ("AGE", lambda snapshot: texts.age(snapshot.created_at)),
    ("EXPIRES", lambda snapshot: texts.left(snapshot.expires_at)),
)


def list_(
    session: Session,
    bunker: Annotated[
        str | None, typer.Option("--bunker", metavar="BUNKER", help="Only those of this bunker.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="Only creating, ready or failed ones."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only disk or full ones.")
    ] = None,
    limit: LimitOption = None,
) -> None:
    """List snapshots, newest first."""
    client = session.client
    of = None if bunker is None else bunker_id(client, bunker)
    found = client.snapshots.list(bunker_id=of, status=status, kind=kind, page_size=200)
    write_records(_COLUMNS, islice(found, limit), in_json=session.json)


def show(session: Session, snapshot: SnapshotArgument) -> None:
    """Show everything about a snapshot: CPU in millicores, memory and disk in MiB."""
    record = session.client.snapshots.get(snapshot_id(session.client, snapshot))
    write_record(record, in_json=session.json)


def remove(session: Session, snapshots: SnapshotsArgument) -> int:
    """Delete snapshots. Bunkers that were made of them go on."""
    client = session.client
    return each(
        session,
        snapshots,
        "deleting",
        lambda name: client.snapshots.delete(snapshot_id(client, name)),
    )


def _status(snapshot: Snapshot) -> str:
    if snapshot.status.is_final:
        return snapshot.status
    return f"{snapshot.status} {snapshot.progress:.0%}"


@app.callback()
def group() -> None:
    """List, show and remove snapshots of bunkers."""


app.command("ls")(connected(list_))
app.command("show")(connected(show))
app.command("rm")(connected(remove))
