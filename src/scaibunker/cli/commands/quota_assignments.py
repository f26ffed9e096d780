"""`scaibunker quota assign|unassign|assignments`: whom a quota profile applies to."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from scaibunker.cli import texts
from scaibunker.cli.exit_codes import ExitCode
from scaibunker.cli.failures import CommandError
from scaibunker.cli.options import LimitOption, QuotaProfileArgument
from scaibunker.cli.output import Column, write_made, write_records
from scaibunker.cli.references import profile_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import QuotaAssignment, QuotaMode, QuotaTargetKind

_COLUMNS: Sequence[Column[QuotaAssignment]] = (
    ("ID", lambda assignment: assignment.id),
    ("KIND", lambda assignment: assignment.target_kind),
    ("TARGET", lambda assignment: assignment.target_id),
    ("MODE", lambda assignment: assignment.mode),
    ("TENANT", lambda assignment: assignment.tenant_id),
    ("AGE", lambda assignment: texts.age(assignment.created_at)),
)

_UserOption = Annotated[str | None, typer.Option("--user", metavar="ID", help="A user's id.")]
_GroupOption = Annotated[str | None, typer.Option("--group", metavar="ID", help="A group's id.")]


def assign(
    session: Session,
    quota: QuotaProfileArgument,
    user: _UserOption = None,
    group: _GroupOption = None,
    per_user: Annotated[
        bool,
        typer.Option(
            "--per-user", help="Each user of the group may hold so much, not all together."
        ),
    ] = False,
) -> None:
    """Have a quota profile apply to a user or a group. Doing it again changes nothing."""
    kind, target = _target(user, group)
    if per_user and kind is QuotaTargetKind.USER:
        raise CommandError("--per-user is of a --group")
    made = session.client.quotas.assign(
        profile_id(session.client, quota),
        kind,
        target,
        mode=QuotaMode.PER_USER if per_user else None,
    )
    write_made(made, in_json=session.json)


def unassign(
    session: Session,
    quota: QuotaProfileArgument,
    user: _UserOption = None,
    group: _GroupOption = None,
) -> None:
    """Have a quota profile not apply to a user or a group any more. What bunkers hold stays held."""
    kind, target = _target(user, group)
    quotas, reference = session.client.quotas, profile_id(session.client, quota)
    for found in quotas.assignments(reference, page_size=200):
        if (found.target_kind, found.target_id) == (kind, target):
            write_made(quotas.unassign(reference, found.id), in_json=session.json)
            return
    raise CommandError(
        f"the profile does not apply to {kind} {target!r}",
        exit_code=ExitCode.NOT_FOUND,
        hint="`scaibunker quota assignments` shows to whom it does",
    )


def assignments(session: Session, quota: QuotaProfileArgument, limit: LimitOption = None) -> None:
    """List whom a quota profile applies to, newest first."""
    found = session.client.quotas.assignments(profile_id(session.client, quota), page_size=200)
    write_records(_COLUMNS, islice(found, limit), in_json=session.json)


def add_to(app: typer.Typer) -> None:
    """Make them commands of the group."""
    app.command("assign")(connected(assign))
    app.command("unassign")(connected(unassign))
    app.command("assignments")(connected(assignments))


def _target(user: str | None, group: str | None) -> tuple[QuotaTargetKind, str]:
    if (user is None) == (group is None):
        raise CommandError("give exactly one of --user and --group")
    if user is not None:
        return QuotaTargetKind.USER, user
    return QuotaTargetKind.GROUP, str(group)


def _write(session: Session, assignment: QuotaAssignment) -> None:
    write_made(assignment, in_json=session.json)
