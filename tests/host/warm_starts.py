"""What a daemon has prepared for machines to come, and which machine was made of it."""

from tests.host.worker_process import BOOT_LIMIT_S, WorkerProcess
from tests.waiting import until


def templates(worker: WorkerProcess) -> list[str]:
    """Those that are whole, and what is being made of others."""
    return sorted(p.name for p in (worker.data_dir / "templates/ready").glob("*"))


def made(worker: WorkerProcess, what: str) -> int:
    """How many the daemon's log tells of."""
    return worker.log().count(f'"event": "{what}"')


async def until_made(worker: WorkerProcess, what: str, count: int) -> None:
    await until(lambda: made(worker, what) == count, BOOT_LIMIT_S, worker.log)


async def start_of(worker: WorkerProcess, machine: str) -> str:
    said: str = (await worker.call("GET", f"/v1/machines/{machine}"))["start"]
    return said
