"""`scaibunker worker ...`: the hosts that run bunkers."""

from collections.abc import Sequence

from scaibunker.cli.options import new_app
from scaibunker.cli.output import Column, write_records
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import Amounts, Worker

app = new_app()

_COLUMNS: Sequence[Column[Worker]] = (
    ("ID", lambda worker: worker.id),
    ("NAME", lambda worker: worker.name),
    ("STATUS", lambda worker: worker.status),
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


def _cores(amounts: Amounts) -> str:
    return f"{amounts.cpu_millicores / 1000:g}"


@app.callback()
def group() -> None:
    """List the workers that run bunkers."""


app.command("ls")(connected(list_))
