"""An installation as an operator runs it: MariaDB, Redis, replicas, background workers, a worker."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import httpx

from scaibunker.artifacts.manifest import ensure
from scaibunker.controller.bootstrap import SeedImage, bootstrap
from scaibunker.dev.stack import base_environment
from scaigrid.settings import DatabaseSettings
from tests.e2e.balancer import Balancer
from tests.e2e.stack import BASE, BIN
from tests.ports import free_port
from tests.servers import MariaDb, RedisServer, running
from tests.waiting import wait_until

TOKEN = "a-worker-token-of-the-production-test"
START_S = 60.0
STOP_S = 40.0


class Process:
    """A program of ours and what it is told; it can be killed and started again. `inside` is a
    command that becomes the program, in some other surroundings."""

    def __init__(
        self, log: Path, program: str, environment: dict[str, str], inside: Sequence[str] = ()
    ) -> None:
        self.log = log
        self._argv = [*inside, str(BIN / program)]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> int:
        """Send it, wait for the end, and return the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(START_S)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Scaigrid(Process):
    """A replica or a background worker: a process that answers on a port."""

    def __init__(self, log: Path, environment: dict[str, str], port: int) -> None:
        super().__init__(log, "scaigrid", environment)
        self.port = port
        self._url = f"http://127.0.0.1:{port}"

    def until_ready(self) -> None:
        def ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self._url}/health/ready", timeout=5).status_code == 200
            return False

        wait_until(ready, START_S, lambda: f"readiness; {self.log.read_text()[-2000:]}")

    def count(self, metric: str, *labels: str) -> float:
        """The sum of a counter over its series that have all of these labels."""
        text = httpx.get(f"{self._url}/metrics", timeout=10).text
        series = re.findall(rf"^{metric}\{{(.*)\}} (\S+)$", text, re.MULTILINE)
        return sum(float(value) for has, value in series if all(one in has for one in labels))


class Installation:
    """The processes. `folder` is short: there are sockets in it. Workers reach the controllers
    through the balancer, at `address`; `settings` are further ones of the controllers."""

    def __init__(
        self,
        folder: Path,
        database: MariaDb,
        redis: RedisServer,
        address: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.database = database
        self.redis = redis
        self._url = database.url("scaigrid")
        ports = [free_port(), free_port()]
        self.balancer = Balancer(ports, address)
        common = {
            **base_environment(),
            "SCAIGRID_DATABASE_URL": self._url,
            "SCAIGRID_REDIS_URL": redis.url,
            "SCAIBUNKER_WORKER_TOKEN": TOKEN,
            "SCAIBUNKER_OBJECT_STORE_URL": (folder / "objects").as_uri(),
            **(settings or {}),
        }
        self._migrate = Process(
            folder / "migrate.log", "scaigrid", {**common, "SCAIGRID_MODE": "migrate"}
        )
        self.replicas = [
            Scaigrid(
                folder / f"http-{port}.log",
                {**common, "SCAIGRID_MODE": "http", "SCAIGRID_HTTP_PORT": str(port)},
                port,
            )
            for port in ports
        ]
        self.background = [
            Scaigrid(
                folder / f"background-{port}.log",
                {**common, "SCAIGRID_MODE": "worker", "SCAIGRID_TASKS_HEALTH_PORT": str(port)},
                port,
            )
            for port in (free_port(), free_port())
        ]
        self._artifacts = ensure(lambda _: None)
        self.workers: list[Process] = []
        self.keys: dict[str, str] = {}

    def add_worker(
        self,
        name: str,
        settings: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> Process:
        """One more worker daemon, with its data in a folder of that name."""
        worker = Process(
            self.folder / f"{name}.log",
            "scaibunker-worker",
            {
                **base_environment(),
                "SCAIBUNKER_WORKER_TOKEN": TOKEN,
                "SCAIBUNKER_WORKER_DATA_DIR": str(self.folder / name),
                "SCAIBUNKER_WORKER_CONTROLLER_URL": self.balancer.url,
                "SCAIBUNKER_WORKER_IMAGE_FILES": json.dumps(
                    [str(image.path) for image in self._artifacts.images]
                ),
                **(settings or {}),
            },
            inside,
        )
        self.workers.append(worker)
        return worker

    def start(self) -> None:
        """Migrate, make the first keys, and start everything."""
        (self.folder / "objects").mkdir(mode=0o700)
        self._migrate.start()
        assert self._migrate.wait() == 0, self._migrate.log.read_text()
        images = [
            SeedImage(**{name: value for name, value in asdict(image).items() if name != "path"})
            for image in self._artifacts.images
        ]
        self.keys = asyncio.run(bootstrap(DatabaseSettings(url=self._url), images))
        for process in (*self.replicas, *self.background):
            process.start()
        for process in (*self.replicas, *self.background):
            process.until_ready()
        for worker in self.workers:
            worker.start()
        wait_until(
            lambda: self.worker_statuses() == ["online"] * len(self.workers),
            START_S,
            lambda: "the workers; " + "\n".join(w.log.read_text()[-2000:] for w in self.workers),
        )

    def worker_statuses(self) -> list[str]:
        """What the controllers say of them, in no order."""
        with self.client("super_admin") as http:
            return [worker["status"] for worker in http.get("/workers").json()["data"]]

    def client(self, identity: str = "user") -> httpx.Client:
        """Each request is a connection of its own, so that the replicas take turns."""
        return httpx.Client(
            base_url=self.balancer.url + BASE,
            headers={"Authorization": f"Bearer {self.keys[identity]}"},
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=120,
        )

    def rows(self, statement: str) -> list[list[str]]:
        """The rows of a query, as text."""
        return [
            line.split("\t")
            for line in self.database.sql(f"USE scaigrid; {statement}").splitlines()
        ]

    def bunkers(self) -> list[str]:
        """What the workers have on their disks of bunkers."""
        return [path.name for path in self.folder.glob("*/machines/*")]

    def machines(self) -> list[int]:
        """Processes of QEMU that belong to this installation's workers, those kept ready included."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if b"qemu-system" in line and os.fsencode(self.folder) in line:
                    found.append(int(entry.name))
        return found

    def end(self) -> None:
        """Whatever state it is in: nothing of ours may go on."""
        for process in (*self.workers, *self.background, *self.replicas, self._migrate):
            process.end()
        for pid in self.machines():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Production(Installation):
    """With one worker, on this host."""

    def __init__(self, folder: Path, database: MariaDb, redis: RedisServer) -> None:
        super().__init__(folder, database, redis)
        self.worker = self.add_worker("worker")


@contextlib.contextmanager
def stores(folder: Path) -> Iterator[tuple[MariaDb, RedisServer]]:
    """The database and Redis of an installation, which run while inside."""
    with contextlib.ExitStack() as held:
        for name in ("db", "redis"):
            (folder / name).mkdir()
        yield (
            held.enter_context(contextlib.contextmanager(running)(MariaDb(folder / "db"))),
            held.enter_context(contextlib.contextmanager(running)(RedisServer(folder / "redis"))),
        )


@contextlib.contextmanager
def serving(installation: Installation) -> Iterator[None]:
    """Started, and ended afterwards whatever happened."""
    with contextlib.ExitStack() as held:
        held.enter_context(installation.balancer.running())
        held.callback(installation.end)
        installation.start()
        yield


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[Production]:
    """An installation that serves while inside."""
    with stores(folder) as (database, redis):
        production = Production(folder, database, redis)
        with serving(production):
            yield production
