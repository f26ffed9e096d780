"""`scaibunker quota ...`: profiles and what is used. Whom they apply to is `quota_assignments`."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated

import typer

from scaibunker.cli.caps import cores_of, count_of, size_of, taking_caps
from scaibunker.cli.commands import quota_assignments
from scaibunker.cli.each import each
from scaibunker.cli.failures import CommandError
from scaibunker.cli.options import (
    LimitOption,
    QuotaProfileArgument,
    QuotaProfilesArgument,
    new_app,
)
from scaibunker.cli.output import Column, write_made, write_record, write_records
from scaibunker.cli.references import profile_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import QuotaCapOptions, QuotaProfile, QuotaUsage

app = new_app()

_COLUMNS: Sequence[Column[QuotaProfile]] = (
    ("ID", lambda profile: profile.id),
    ("NAME", lambda profile: profile.name),
    ("OF", lambda profile: profile.tenant_id or "the platform"),
    ("BUNKERS", lambda profile: count_of(profile.max_concurrent_bunkers)),
    ("PERSISTENT", lambda profile: count_of(profile.max_persistent_bunkers)),
    ("CPU", lambda profile: cores_of(profile.max_cpu_millicores)),
    ("MEMORY", lambda profile: size_of(profile.max_memory_mb)),
    ("DISK", lambda profile: size_of(profile.max_disk_mb)),
    ("GPUS", lambda profile: count_of(profile.max_gpu_count)),
)


def _used(resource: str, write: Callable[[int | None], str | None]) -> Callable[[QuotaUsage], str]:
    """A cell with what is held, and of how much."""

    def cell(usage: QuotaUsage) -> str:
        most = usage.cap.get(resource)
        held = write(usage.current.get(resource, 0))
        return f"{held} of {write(most)}" if most is not None else f"{held}"

    return cell


_USAGE: Sequence[Column[QuotaUsage]] = (
    ("BUCKET", lambda usage: usage.bucket),
    ("NAME", lambda usage: usage.name),
    ("BUNKERS", _used("concurrent_bunkers", count_of)),
    ("PERSISTENT", _used("persistent_bunkers", count_of)),
    ("CPU", _used("cpu_millicores", cores_of)),
    ("MEMORY", _used("memory_mb", size_of)),
    ("DISK", _used("disk_mb", size_of)),
    ("GPUS", _used("gpu_count", count_of)),
)

_Description = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")
]


def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for the profile.")],
    caps: QuotaCapOptions,
    description: _Description = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="ID", help="Whose it is [your own tenant's].")
    ] = None,
    platform: Annotated[
        bool,
        typer.Option("--platform", help="A default: it bounds all for whom no other applies."),
    ] = False,
) -> None:
    """Make a quota profile and print its id. What is not given has no cap."""
    if platform and tenant is not None:
        raise CommandError("--tenant and --platform exclude each other")
    # Said outright: to the API nothing would mean the platform, if the key may set its defaults.
    owner = None if platform else tenant or session.client.me().tenant_id
    made = session.client.quotas.create(
        name, description=description or "", tenant_id=owner, **caps
    )
    write_made(made, in_json=session.json)


def list_(session: Session, limit: LimitOption = None) -> None:
    """List quota profiles, newest first. A dash is no cap."""
    found = session.client.quotas.list(page_size=200)
    write_records(_COLUMNS, islice(found, limit), in_json=session.json)


def show(session: Session, quota: QuotaProfileArgument) -> None:
    """Show everything about a quota profile: CPU in millicores, memory and disk in MiB."""
    record = session.client.quotas.get(profile_id(session.client, quota))
    write_record(record, in_json=session.json)


def change(
    session: Session,
    quota: QuotaProfileArgument,
    caps: QuotaCapOptions,
    description: _Description = None,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
) -> None:
    """Change a quota profile. What is not given stays; `none` takes a cap away."""
    texts = {"name": name, "description": description}
    changed = {field: text for field, text in texts.items() if text is not None}
    if not caps and not changed:
        raise CommandError("nothing to change was given", hint="see --help for what there is")
    reference = profile_id(session.client, quota)
    write_made(session.client.quotas.change(reference, **caps, **changed), in_json=session.json)


def remove(session: Session, quotas: QuotaProfilesArgument) -> int:
    """Delete quota profiles, and with them whom they apply to. What bunkers hold stays held."""
    client = session.client
    return each(
        session,
        quotas,
        "deleting",
        lambda reference: client.quotas.delete(profile_id(client, reference)),
    )


def usage(session: Session, limit: LimitOption = None) -> None:
    """List what is held of which allowance: your own and those that you share; of the whole tenant
    if you may set its quotas."""
    found = session.client.quotas.usage(page_size=200)
    write_records(_USAGE, islice(found, limit), in_json=session.json)


@app.callback()
def group() -> None:
    """Set how much users and groups may hold, and see what they do."""


app.command("create")(connected(taking_caps(create)))
app.command("ls")(connected(list_))
app.command("show")(connected(show))
app.command("set")(connected(taking_caps(change)))
app.command("rm")(connected(remove))
app.command("usage")(connected(usage))
quota_assignments.add_to(app)
