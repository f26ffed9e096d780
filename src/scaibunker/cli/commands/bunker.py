"""`scaibunker bunker ...`: making, finding and moving bunkers. Their commands are `bunker_execs`, copies of
them `bunker_snapshot`."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated

import typer

from scaibunker.cli import texts
from scaibunker.cli.commands import bunker_execs, bunker_flows, bunker_snapshot
from scaibunker.cli.creation import bunker_options, origin
from scaibunker.cli.each import each
from scaibunker.cli.interfaces import interfaces
from scaibunker.cli.options import (
    AllowOption,
    BandwidthOption,
    BunkerArgument,
    BunkersArgument,
    CpuOption,
    DiskOption,
    EnvOption,
    FromSnapshotOption,
    ImageArgument,
    InterfaceOption,
    LabelOption,
    LimitOption,
    MemoryOption,
    NameOption,
    NetworkOption,
    SnapshotKindOption,
    new_app,
)
from scaibunker.cli.output import (
    Column,
    as_json,
    write_fields,
    write_json,
    write_made,
    write_records,
)
from scaibunker.cli.progress import working
from scaibunker.cli.references import bunker_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import BunkerRecord, Interface

app = new_app()

_COLUMNS: Sequence[Column[BunkerRecord]] = (
    ("ID", lambda record: record.id),
    ("NAME", lambda record: record.name),
    ("STATUS", lambda record: "passivated" if record.passivated else record.status),
    ("IMAGE", lambda record: record.image or record.snapshot_id),
    ("CPU", lambda record: f"{record.cpu_millicores / 1000:g}"),
    ("MEMORY", lambda record: f"{record.memory_mb} MiB"),
    ("NETWORK", lambda record: record.network_profile),
    ("AGE", lambda record: texts.age(record.created_at)),
)
_SECRET = frozenset({"env_vars"})


def create(
    session: Session,
    image: ImageArgument = None,
    snapshot: FromSnapshotOption = None,
    snapshot_kind: SnapshotKindOption = None,
    name: NameOption = None,
    cpu: CpuOption = None,
    memory: MemoryOption = None,
    disk: DiskOption = None,
    env: EnvOption = None,
    label: LabelOption = None,
    network: NetworkOption = None,
    allow: AllowOption = None,
    interface: InterfaceOption = None,
    bandwidth: BandwidthOption = None,
    lifecycle: Annotated[
        str | None,
        typer.Option("--lifecycle", metavar="MODE", help="ephemeral, session or persistent."),
    ] = None,
    max_lifetime: Annotated[
        int | None,
        typer.Option("--max-lifetime", metavar="SECONDS", help="Terminate it after this long."),
    ] = None,
    idle_timeout: Annotated[
        int | None,
        typer.Option(
            "--idle-timeout",
            metavar="SECONDS",
            help="The same when nobody uses it; a persistent one sleeps.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Come back when it runs, or at once.")
    ] = True,
) -> None:
    """Make a bunker and print its id."""
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
        interfaces=interfaces(interface or ()),
        bandwidth_mbit=bandwidth,
        lifecycle_mode=lifecycle,
        max_lifetime_s=max_lifetime,
        idle_timeout_s=idle_timeout,
    )
    with working(f"creating a bunker from {image or snapshot}"):
        bunker = session.client.bunkers.create(wait=wait, **options)
    write_made(bunker.record, in_json=session.json)


def list_(
    session: Session,
    all_: Annotated[
        bool, typer.Option("--all", "-a", help="Also those that are terminated or failed.")
    ] = False,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Only those in this state.")
    ] = None,
    lifecycle: Annotated[
        str | None, typer.Option("--lifecycle", metavar="MODE", help="Only those of this mode.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="K[=V]", help="Only with this label."),
    ] = None,
    limit: LimitOption = None,
) -> None:
    """List bunkers, newest first."""
    found = session.client.bunkers.list(
        status=status, lifecycle=lifecycle, label=label, page_size=200
    )
    records = (bunker.record for bunker in found if all_ or status or not bunker.status.is_final)
    write_records(_COLUMNS, islice(records, limit), in_json=session.json)


def show(session: Session, bunker: BunkerArgument) -> None:
    """Show everything about a bunker. The values of its variables are in the JSON only."""
    record = session.client.bunkers.get(bunker_id(session.client, bunker)).record
    if session.json:
        write_json(as_json(record))
        return
    fields = {name: value for name, value in as_json(record).items() if name not in _SECRET}
    if record.passivated:
        fields["status"] = f"{record.status} (passivated)"
    fields["env_vars"] = ", ".join(sorted(record.env_vars))
    fields["label_set"] = ", ".join(f"{k}={v}" for k, v in sorted(record.label_set.items()))
    fields["interfaces"] = ", ".join(_interface(each) for each in record.interfaces or ())
    fields["network_allowlist"] = ", ".join(record.network_allowlist or ())
    write_fields(fields)


def _interface(interface: Interface) -> str:
    guard = "" if interface.spoof_guard else ", no spoof guard"
    return f"{interface.if_name} on {interface.bridge_name} ({interface.mac}{guard})"


def pause(session: Session, bunkers: BunkersArgument) -> int:
    """Freeze bunkers: memory and quota are kept, no CPU is used."""
    return _each(session, bunkers, "pausing", session.client.bunkers.pause)


def resume(session: Session, bunkers: BunkersArgument) -> int:
    """Let paused bunkers go on where they were."""
    return _each(session, bunkers, "resuming", session.client.bunkers.resume)


def _each(
    session: Session,
    references: Sequence[str],
    doing: str,
    verb: Callable[[str], BunkerRecord],
) -> int:
    client = session.client
    return each(session, references, doing, lambda name: verb(bunker_id(client, name)))


@app.callback()
def group() -> None:
    """Make, list, show, pause, resume, snapshot and remove bunkers."""


app.command("create")(connected(create))
app.command("ls")(connected(list_))
app.command("show")(connected(show))
app.command("pause")(connected(pause))
app.command("resume")(connected(resume))
bunker_snapshot.add_to(app)
bunker_execs.add_to(app)
bunker_flows.add_to(app)
