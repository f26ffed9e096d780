"""`scaibunker audit ...`: who changed what, and who was refused."""

import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, Literal

import typer

from scaibunker.cli.options import LimitOption, moment_option, new_app
from scaibunker.cli.output import Column, write_records
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import AuditEntry, AuditFilter

app = new_app()

_COLUMNS: Sequence[Column[AuditEntry]] = (
    ("TIME", lambda entry: entry.at.strftime("%Y-%m-%dT%H:%M:%SZ")),
    ("ACTOR", lambda entry: entry.actor_name or entry.actor_type),
    ("ACTION", lambda entry: entry.action),
    ("RESOURCE", lambda entry: entry.resource_id or entry.resource_type),
    ("OUTCOME", lambda entry: entry.outcome),
    ("STATUS", lambda entry: entry.status),
    ("CODE", lambda entry: entry.code),
    ("FROM", lambda entry: entry.address),
    ("REQUEST", lambda entry: entry.request_id),
    ("TIMES", lambda entry: entry.details.get("folded", 1)),
)

_Actor = Annotated[str | None, typer.Option("--actor", metavar="USER", help="A user's id.")]
_Action = Annotated[
    str | None, typer.Option("--action", metavar="NAME", help="An operation: create_bunker.")
]
_Outcome = Annotated[
    str | None,
    typer.Option("--outcome", metavar="NAME", help="success, refused, aborted or failed."),
]
_Resource = Annotated[
    str | None, typer.Option("--resource", metavar="ID", help="What it was done to.")
]
_ResourceType = Annotated[
    str | None, typer.Option("--type", metavar="NAME", help="Its type: bunker, api_key.")
]
_Status = Annotated[
    int | None, typer.Option("--status", min=100, max=599, metavar="N", help="An HTTP status.")
]
_Code = Annotated[str | None, typer.Option("--code", metavar="CODE", help="An error code.")]
_Address = Annotated[
    str | None, typer.Option("--from", metavar="ADDRESS", help="A client's address.")
]
_Request = Annotated[
    str | None, typer.Option("--request", metavar="ID", help="The one entry of a request.")
]
_Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="ID", help="One of the tenants in reach.")
]
_Since = Annotated[
    datetime | None,
    moment_option("--since", "From then on: 2026-01-31T12:00:00Z, or 24h for so long ago."),
]
_Until = Annotated[datetime | None, moment_option("--until", "Before that.")]
_Format = Annotated[str, typer.Option("--format", "-f", metavar="FORMAT", help="ndjson or csv.")]


def list_(
    session: Session,
    actor: _Actor = None,
    action: _Action = None,
    outcome: _Outcome = None,
    resource_id: _Resource = None,
    resource_type: _ResourceType = None,
    status: _Status = None,
    code: _Code = None,
    address: _Address = None,
    request_id: _Request = None,
    tenant_id: _Tenant = None,
    since: _Since = None,
    until: _Until = None,
    limit: LimitOption = 50,
) -> None:
    """List entries, newest first. TIMES is how many refusals of one sort an entry stands for."""
    wanted: AuditFilter = {
        "actor": actor,
        "action": action,
        "outcome": outcome,
        "resource_id": resource_id,
        "resource_type": resource_type,
        "status": status,
        "code": code,
        "address": address,
        "request_id": request_id,
        "tenant_id": tenant_id,
        "since": since,
        "until": until,
    }
    found = session.client.audit.list(**wanted)
    write_records(_COLUMNS, islice(found, limit), in_json=session.json)


def export(
    session: Session,
    form: _Format = "ndjson",
    actor: _Actor = None,
    action: _Action = None,
    outcome: _Outcome = None,
    resource_id: _Resource = None,
    resource_type: _ResourceType = None,
    tenant_id: _Tenant = None,
    since: _Since = None,
    until: _Until = None,
) -> None:
    """Write all entries to standard output, newest first: JSON objects, one a line, or CSV."""
    wanted: AuditFilter = {
        "actor": actor,
        "action": action,
        "outcome": outcome,
        "resource_id": resource_id,
        "resource_type": resource_type,
        "tenant_id": tenant_id,
        "since": since,
        "until": until,
    }
    with session.client.audit.export(_form(form), **wanted) as chunks:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _form(text: str) -> Literal["ndjson", "csv"]:
    if text not in ("ndjson", "csv"):
        raise typer.BadParameter(f"ndjson or csv, not {text!r}")
    return "csv" if text == "csv" else "ndjson"


@app.callback()
def group() -> None:
    """Read who changed what, and who was refused."""


app.command("ls")(connected(list_))
app.command("export")(connected(export))
