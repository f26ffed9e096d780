"""`scaibunker bunker flows`: whom a bunker has spoken to."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from scaibunker.cli.options import BunkerArgument, moment_option
from scaibunker.cli.output import Column, as_json, write_records
from scaibunker.cli.references import bunker_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import FlowRecord, LossRecord

_Record = FlowRecord | LossRecord
_Since = Annotated[
    datetime | None,
    moment_option(
        "--since", "That ended from then on: 2026-01-31T12:00:00Z, or 24h for so long ago."
    ),
]
_Limit = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, help="At most so many, the oldest [all].")
]

_COLUMNS: Sequence[Column[_Record]] = (
    ("TIME", lambda record: record.start.strftime("%Y-%m-%dT%H:%M:%SZ")),
    ("MS", lambda record: getattr(record, "duration_ms", None)),
    ("PROTOCOL", lambda record: getattr(record, "protocol", None)),
    ("TO", lambda record: _destination(record)),
    ("HOST", lambda record: getattr(record, "host", None)),
    ("SENT", lambda record: getattr(record, "bytes_sent", None)),
    ("RECEIVED", lambda record: getattr(record, "bytes_received", None)),
    ("VERDICT", lambda record: getattr(record, "verdict", None)),
    ("REASON", lambda record: record.reason),
)


def flows(
    session: Session, bunker: BunkerArgument, since: _Since = None, limit: _Limit = None
) -> None:
    """List the recorded flows of a bunker, in the order of their ends; with --json an object a line.

    A line without a destination says that records are missing, and how many. A bunker that has ended is named by its id.
    """
    found = session.client.flows.list(bunker_id(session.client, bunker), since=since)
    wanted = islice(found, limit)
    if not session.json:
        write_records(_COLUMNS, wanted, in_json=False)
        return
    for record in wanted:  # there may be very many
        sys.stdout.write(json.dumps(as_json(record)) + "\n")


def add_to(app: typer.Typer) -> None:
    """Make it a command of the group."""
    app.command("flows")(connected(flows))


def _destination(record: _Record) -> str:
    if isinstance(record, LossRecord):
        count = "some" if record.dropped is None else record.dropped
        return f"({count} not recorded)"
    address = record.destination_address
    if record.destination_port is None:
        return address
    return (
        f"[{address}]:{record.destination_port}"
        if ":" in address
        else (f"{address}:{record.destination_port}")
    )
