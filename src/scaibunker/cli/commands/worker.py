"""`scaibunker worker ...`: the hosts that run bunkers."""

from collections.abc import Sequence
from typing import Annotated

import typer

from scaibunker.cli.each import each
from scaibunker.cli.options import WorkerArgument, WorkersArgument, new_app
from scaibunker.cli.output import Column, as_json, write_fields, write_json, write_records
from scaibunker.cli.references import worker_id
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import Amounts, Worker

app = new_app()

_COLUMNS: Sequence[Column[Worker]] = (
    ("ID", lambda worker: worker.id),
    ("NAME", lambda worker: worker.name),
    ("STATUS", lambda worker: worker.status),
    ("DRAINING", lambda worker: "yes" if worker.draining else "no"),
    ("ACCELERATION", lambda worker: worker.acceleration),
    ("BUNKERS", lambda worker: worker.bunkers),
    ("CPU", lambda worker: f"{_cores(worker.reserved)}/{_cores(worker.total)}"),
    ("MEMORY", lambda worker: f"{worker.reserved.memory_mb}/{worker.total.memory_mb} MiB"),
    ("DISK", lambda worker: f"{worker.reserved.disk_mb}/{worker.total.disk_mb} MiB"),
    ("HEARD", lambda worker: f"{worker.heartbeat_age_s:.0f}s ago"),
)


def list_(session: Session) -> None:
    """List workers, what they can give and what of it is reserved."""
    write_records(_COLUMNS, session.client.workers.list(), in_json=session.json)


def show(session: Session, worker: WorkerArgument) -> None:
    """Show everything about a worker, and why it takes no new bunkers if it does not."""
    found = session.client.workers.get(worker_id(session.client, worker))
    if session.json:
        write_json(as_json(found))
        return
    fields = as_json(found)
    for name in ("total", "reserved", "used"):
        fields[name] = _amounts(getattr(found, name))
    for name in ("reasons", "network_profiles", "registry_hosts", "cached_images"):
        fields[name] = ", ".join(fields[name])
    by_status = sorted(found.bunkers_by_status.items())
    fields["bunkers_by_status"] = ", ".join(f"{count} {status}" for status, count in by_status)
    write_fields(fields)


def drain(
    session: Session,
    workers: WorkersArgument,
    passivate: Annotated[
        bool,
        typer.Option(
            "--passivate",
            help="Have those that can leave: they sleep, and wake on another worker when used.",
        ),
    ] = False,
) -> int:
    """Have workers take no new bunkers; those that they have go on."""
    client = session.client
    return each(
        session,
        workers,
        "draining",
        lambda name: client.workers.drain(worker_id(client, name), passivate=passivate),
    )


def resume(session: Session, workers: WorkersArgument) -> int:
    """Have drained workers take new bunkers again."""
    client = session.client
    return each(
        session, workers, "resuming", lambda name: client.workers.resume(worker_id(client, name))
    )


def _cores(amounts: Amounts) -> str:
    return f"{amounts.cpu_millicores / 1000:g}"


def _amounts(amounts: Amounts) -> str:
    parts = [
        f"{_cores(amounts)} cores",
        f"{amounts.memory_mb} MiB memory",
        f"{amounts.disk_mb} MiB disk",
        *(f"{count} {gpu}" for gpu, count in sorted(amounts.gpus.items())),
    ]
    return ", ".join(parts)


@app.callback()
def group() -> None:
    """List, show, drain and resume the workers that run bunkers."""


app.command("ls")(connected(list_))
app.command("show")(connected(show))
app.command("drain")(connected(drain))
app.command("resume")(connected(resume))
