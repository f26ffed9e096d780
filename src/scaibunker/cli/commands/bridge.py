"""`scaibunker bridge ...`: what `transit` bunkers are plugged into."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from scaibunker.cli import texts
from scaibunker.cli.each import each
from scaibunker.cli.options import BridgeArgument, BridgesArgument, LimitOption, new_app
from scaibunker.cli.output import Column, write_made, write_record, write_records
from scaibunker.cli.progress import working
from scaibunker.cli.references import bridge_id, worker_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import Bridge

app = new_app()

_COLUMNS: Sequence[Column[Bridge]] = (
    ("ID", lambda bridge: bridge.id),
    ("NAME", lambda bridge: bridge.name),
    ("STATUS", lambda bridge: bridge.status),
    ("WORKER", lambda bridge: bridge.worker_id),
    ("AGE", lambda bridge: texts.age(bridge.created_at)),
)


def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What interfaces call it.")],
    worker: Annotated[
        str,
        typer.Option("--worker", metavar="WORKER", help="The worker to make it on: id or name."),
    ],
) -> None:
    """Make a bridge and print its id. Bunkers that are plugged into it run on its worker."""
    client = session.client
    with working(f"making the bridge {name}"):
        bridge = client.bridges.create(name, worker_id(client, worker))
    write_made(bridge, in_json=session.json)


def list_(session: Session, limit: LimitOption = None) -> None:
    """List bridges, newest first."""
    found = session.client.bridges.list(page_size=200)
    write_records(_COLUMNS, islice(found, limit), in_json=session.json)


def show(session: Session, bridge: BridgeArgument) -> None:
    """Show everything about a bridge."""
    record = session.client.bridges.get(bridge_id(session.client, bridge))
    write_record(record, in_json=session.json)


def remove(session: Session, bridges: BridgesArgument) -> int:
    """Delete bridges that no bunker is plugged into."""
    client = session.client
    return each(
        session,
        bridges,
        "deleting",
        lambda name: client.bridges.delete(bridge_id(client, name)),
    )


@app.callback()
def group() -> None:
    """Make, list, show and remove bridges between bunkers."""


app.command("create")(connected(create))
app.command("ls")(connected(list_))
app.command("show")(connected(show))
app.command("rm")(connected(remove))
