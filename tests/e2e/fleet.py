"""Three workers, each on a host of its own, behind two controllers; and what must agree of them."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.hosts import HostNetwork, host_network
from tests.e2e.production import Installation, Process, serving, stores
from tests.servers import MariaDb, RedisServer
from tests.waiting import wait_until

HEARTBEAT_S = 1.0
CLOCK_OFF_S = 3600
WORKERS = 3
CUTTABLE, WRONG_CLOCK = 1, 2
"""Which of the workers is cut off, and whose clock is wrong."""
ROOMY_DISK_MB = 8192
"""A bunker with this much disk fits only on the worker that is cut off."""
FINAL = ("terminated", "failed")
AMOUNTS = ("cpu_millicores", "memory_mb", "disk_mb")
BUNKERS = "SELECT id, worker_id, cpu_millicores, memory_mb, disk_mb, status FROM scaibunker_bunkers"


class FleetWorker:
    """A daemon on a host of its own."""

    def __init__(self, process: Process, host: hosts.Host, folder: Path) -> None:
        self.process = process
        self.host = host
        self.folder = folder

    @property
    def id(self) -> str:
        return (self.folder / "worker-id").read_text()


class Fleet(Installation):
    """The installation, with the hosts on `network`."""

    def __init__(
        self, folder: Path, database: MariaDb, redis: RedisServer, network: HostNetwork
    ) -> None:
        interval = {"SCAIBUNKER_WORKER_HEARTBEAT_INTERVAL_S": str(HEARTBEAT_S)}
        super().__init__(folder, database, redis, network.gateway, interval)
        self.run_folder = hosts.run_folder(network)
        self.fleet = []
        for number in range(WORKERS):
            host, name = network.add_host(number), f"worker-{number}"
            settings = {
                **interval,
                "SCAIBUNKER_WORKER_NAME": name,
                "SCAIBUNKER_WORKER_HOST": host.address,
                "SCAIBUNKER_WORKER_RUNTIME_DIR": str(self.run_folder),
                "SCAIBUNKER_WORKER_ACCELERATION": "tcg",
                "SCAIBUNKER_WORKER_CAPACITY_CPU_MILLICORES": "4000",
                "SCAIBUNKER_WORKER_WARM_STARTS": "false",  # each would boot one more, on the same cores
                "SCAIBUNKER_WORKER_CAPACITY_MEMORY_MB": "4096",
                "SCAIBUNKER_WORKER_CAPACITY_DISK_MB": str(
                    ROOMY_DISK_MB * 4 if number == CUTTABLE else ROOMY_DISK_MB - 1
                ),
                **(_wrong_clock() if number == WRONG_CLOCK else {}),
            }
            worker = self.add_worker(name, settings, host.inside)
            self.fleet.append(FleetWorker(worker, host, folder / name))

    def worker_of(self, bunker: str) -> FleetWorker:
        """The one that a bunker is on."""
        where = dict(self.rows("SELECT id, worker_id FROM scaibunker_bunkers"))
        (found,) = (worker for worker in self.fleet if worker.id == where[bunker])
        return found

    def vmms(self, bunker: str) -> list[int]:
        """Processes of QEMU that run this bunker's machine."""
        needle = f"guest={bunker}".encode()
        return [pid for pid in self.machines() if needle in _command_line(pid)]

    def seen(self, worker: FleetWorker) -> dict[str, Any]:
        """The worker as the controllers describe it."""
        with self.client("super_admin") as http:
            found: dict[str, Any] = http.get(f"/workers/{worker.id}").json()["data"]
        return found

    def until(self, worker: FleetWorker, status: str) -> None:
        """Wait until every controller says that of the worker."""

        def both() -> bool:
            return all(self.seen(worker)["status"] == status for _ in range(2 * len(self.replicas)))

        wait_until(
            both,
            30,
            lambda: f"{status}: {self.seen(worker)}; {worker.process.log.read_text()[-2000:]}",
        )

    # What must agree

    def disagreements(self) -> list[str]:
        """Between rows, machines, and counters, at a moment when nothing moves."""
        rows = [row for row in self.rows(BUNKERS) if row[5] not in FINAL]
        wrong = [f"{row[0]} is {row[5]}" for row in rows if row[5] != "running"]
        vmms = {row[0]: self.vmms(row[0]) for row in rows}
        wrong += [
            f"{bunker} has machines {pids}" for bunker, pids in vmms.items() if len(pids) != 1
        ]
        if len(self.machines()) != len(rows):
            wrong.append(f"{len(self.machines())} machines, {len(rows)} rows")
        for worker in self.fleet:
            held = [row for row in rows if row[1] == worker.id]
            sums = {name: sum(int(row[at]) for row in held) for at, name in enumerate(AMOUNTS, 2)}
            seen = self.seen(worker)
            said = [{name: seen[part][name] for name in AMOUNTS} for part in ("reserved", "used")]
            if (said, seen["bunkers"]) != ([sums, sums], len(held)):
                wrong.append(f"{seen} but rows hold {sums}")
            folders = {path.name for path in (worker.folder / "machines").iterdir()}
            sockets = set()
            with contextlib.suppress(FileNotFoundError):
                sockets = {path.name for path in (self.run_folder / worker.id).iterdir()}
            if not folders == sockets == {row[0] for row in held}:
                wrong.append(f"on {worker.id}: {folders}, sockets {sockets}, rows {held}")
        groups = {g.name for g in hosts.control_groups(self.folder)} - {w.id for w in self.fleet}
        if groups != {row[0] for row in rows}:
            wrong.append(f"control groups {groups}")
        return wrong + self._quotas({row[0]: [int(n) for n in row[2:5]] for row in rows})

    def _quotas(self, held: dict[str, list[int]]) -> list[str]:
        """What Redis counts for quotas, where it counts: as much as the rows that live hold.
        Each counter is of one user, group or tenant; all bunkers here are of one user."""
        wrong = []
        stashes = {key.rsplit(":", 1)[-1] for key in self._keys("quota:bunker:")}
        if stashes - held.keys():
            wrong.append(f"quota is held by {stashes - held.keys()}")
        sums = {
            name: sum(amounts[column] for amounts in held.values())
            for column, name in enumerate(AMOUNTS)
        }
        sums |= {"concurrent_bunkers": len(held), "persistent_bunkers": 0, "gpu_count": 0}
        counters = self._keys("quota:bucket:")
        if held and not counters:
            wrong.append("nothing is counted")
        for key in counters:
            counted = int(self.redis.ask("get", key) or 0)
            if counted != sums[key.rsplit(":", 1)[-1]]:
                wrong.append(f"{key} is {counted}, rows hold {sums}")
        return wrong

    def _keys(self, part: str) -> list[str]:
        return self.redis.ask("--scan", "--pattern", f"*{part}*").split()

    def until_agreed(self) -> None:
        """Wait for the last of what happened to have its effect everywhere."""
        wait_until(lambda: not self.disagreements(), 30, lambda: json.dumps(self.disagreements()))


@contextlib.contextmanager
def installed_fleet(folder: Path) -> Iterator[Fleet]:
    """A fleet that serves while inside."""
    with host_network(folder) as network, stores(folder) as (database, redis):
        fleet = Fleet(folder, database, redis, network)
        with serving(fleet):
            yield fleet


def _wrong_clock() -> dict[str, str]:
    """What a program is told whose wall clock is to be ahead. Intervals stay as they are."""
    libraries = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    if not libraries:
        pytest.fail("libfaketime is not installed: scripts/host-packages run test")
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME": f"+{CLOCK_OFF_S}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
        "NO_FAKE_STAT": "1",
    }


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
