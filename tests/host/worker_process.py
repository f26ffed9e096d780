"""`scaibunker-worker` as a process of its own, driven over its HTTP API as the controller would."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from scaibunker.artifacts.manifest import Artifacts
from scaibunker.wire.guest.frames import Decoder, Frame, Kind
from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.worker.network.settings import NetworkSettings
from tests import leftovers
from tests.host.lab import Lab
from tests.host.networks.stand import sweep
from tests.ports import free_port
from tests.waiting import until

BOOT_LIMIT_S = 120.0
END_LIMIT_S = 120.0
TOKEN = "swt_for_tests"


class WorkerProcess:
    """One daemon on a free port and a private folder; in the lab's host if there is a `lab`."""

    def __init__(
        self, folder: Path, artifacts: Artifacts, lab: Lab | None = None, **settings: str
    ) -> None:
        self._lab = lab
        self._artifacts = artifacts
        self.settings = {"WARM_STARTS": "false", **settings}
        """More of them, by name; they count from the next start on."""
        self.data_dir = folder / "worker"
        self.run_dir = Path("/run/scaibunker-tests") / secrets.token_hex(4)
        self._log = folder / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = free_port()
        self._worker_id: str | None = None

    # The process

    async def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "SCAIBUNKER_WORKER_TOKEN": TOKEN,
            "SCAIBUNKER_WORKER_DATA_DIR": str(self.data_dir),
            "SCAIBUNKER_WORKER_RUNTIME_DIR": str(self.run_dir),
            "SCAIBUNKER_WORKER_PORT": str(self._port),
            "SCAIBUNKER_WORKER_ACCELERATION": "tcg",
            "SCAIBUNKER_WORKER_IMAGE_FILES": json.dumps(
                [str(image.path) for image in self._artifacts.images]
            ),
        }
        environment |= {f"SCAIBUNKER_WORKER_{k}": v for k, v in self.settings.items()}
        for name in ("SCAIBUNKER_CACHE_DIR", "XDG_CACHE_HOME"):
            if name in os.environ:
                environment[name] = os.environ[name]
        with self._log.open("ab") as log:
            argv = [str(Path(sys.executable).with_name("scaibunker-worker"))]
            self._process = subprocess.Popen(
                self._lab.host.command(*argv) if self._lab else argv,
                env=environment,
                stdout=log,
                stderr=log,
            )
        if self._session is None:
            port = self._lab.reach_host(self._port) if self._lab else self._port
            self._session = aiohttp.ClientSession(
                f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}
            )
        try:
            await self._until_it_answers()
        except BaseException:
            await self.take_down()
            raise
        self._known_id()

    async def kill(self) -> None:
        """SIGKILL: the daemon gets no chance to say goodbye."""
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def take_down(self) -> None:
        """Destroy machines and bridges, and end the daemon. What a dead one has left is taken away for it. So it is for
        one that lives, which is an AssertionError then."""
        was_dead = self._process is None or self._process.poll() is not None
        gone = not was_dead and await self._ends_by_itself()
        if not gone:
            await self._sweep()
        for folder in (*self.run_dir.glob("*"), self.run_dir):
            with contextlib.suppress(OSError):  # what is in it is left over
                folder.rmdir()
        if self._session is not None:
            await self._session.close()
            self._session = None
        assert gone or was_dead, f"the daemon has not taken all away: {self.log()}"

    async def _ends_by_itself(self) -> bool:
        """Whether the daemon has taken all away and gone."""
        assert self._process is not None
        empty = False
        with contextlib.suppress(aiohttp.ClientError, AssertionError, TimeoutError):
            async with asyncio.timeout(END_LIMIT_S):
                for kind, its_id in (("machines", "bunker_id"), ("bridges", "bridge_id")):
                    for each in (await self.call("GET", f"/v1/{kind}"))[kind]:
                        await self.call("DELETE", f"/v1/{kind}/{each[its_id]}")
            empty = True
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, END_LIMIT_S) == 0 and empty
        except subprocess.TimeoutExpired:
            await self.kill()
            return False

    async def _sweep(self) -> None:
        await asyncio.to_thread(leftovers.end_processes, self.run_dir)
        worker_id = self._known_id()
        if worker_id is not None:
            claims = Path(self.settings.get("NETWORK_CLAIMS_DIR", NetworkSettings().claims_dir))
            networks = partial(sweep, worker_id, claims)
            work = partial(self._lab.host.call, networks) if self._lab else networks
            await asyncio.to_thread(work)
            leftovers.remove_control_groups(worker_id)
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def _known_id(self) -> str | None:
        """The worker's, also when its data folder is gone; None if it has died before it had one."""
        with contextlib.suppress(FileNotFoundError):
            self._worker_id = (self.data_dir / "worker-id").read_text()
        return self._worker_id

    @property
    def initramfs(self) -> Path:
        """With the guest agent that its machines boot with, unless they are told of another."""
        return self._artifacts.boot.initramfs

    @property
    def port(self) -> int:
        """Of its API."""
        return self._port

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text()

    # What is on the host

    def vmm_pids(self) -> list[int]:
        """QEMU processes whose sockets lie in our own folder."""
        return leftovers.running(leftovers.VMM, self.run_dir)

    def gateway_pids(self) -> list[int]:
        """Processes that serve our machines' networks, and outlive the daemon as VMMs do."""
        return leftovers.running(leftovers.GATEWAY, self.run_dir)

    def leftovers(self) -> list[str]:
        """Everything of our machines that is still on the host."""
        left = [f"process {pid}" for pid in self.vmm_pids()]
        left += [str(p) for p in (self.data_dir / "machines").iterdir()]
        left += [str(p) for p in (self.data_dir / "templates/slots").glob("*")]
        left += [str(p) for p in (self.data_dir / "templates/ready").glob(".*")]
        worker_id = (self.data_dir / "worker-id").read_text()
        left += [str(p) for p in self.run_dir.glob(f"{worker_id}/*")]
        left += [str(p) for p in leftovers.control_groups(worker_id) if p.name != worker_id]
        return left

    # The API

    async def request(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        assert self._session is not None
        return await self._session.request(method, path, **options)

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON. AssertionError for a status of 400 or more."""
        async with await self.request(method, path, **options) as response:
            text = await response.text()
            assert response.status < 400, text
            return json.loads(text) if text else None

    def spec(self, image: str = "debian-12", **fields: Any) -> MachineSpec:
        found = next(i for i in self._artifacts.images if i.name == image)
        values: dict[str, Any] = {
            "bunker_id": f"bnk_{secrets.token_hex(6)}",
            "tenant_id": "ten_test",
            "image_sha256": found.sha256,
            "image_size": found.size_bytes,
            "cpu_millicores": 1000,
            "memory_mb": 256,
            "disk_mb": 256,
            "hostname": "tested",
        }
        return MachineSpec(**{**values, **fields})

    async def create(self, image: str = "debian-12", **fields: Any) -> str:
        """Order a machine and wait until it runs; returns its id."""
        spec = self.spec(image, **fields)
        await self.call("PUT", f"/v1/machines/{spec.bunker_id}", data=spec.model_dump_json())
        status = await self.until(spec.bunker_id, "running", "failed")
        assert status["state"] == "running", status
        return spec.bunker_id

    async def snapshot(self, machine: str, kind: str, **fields: Any) -> dict[str, Any]:
        """Have a snapshot made; its status at the end."""
        order = {"snapshot_id": f"snp_{secrets.token_hex(6)}", "kind": kind, **fields}
        await self.call("POST", f"/v1/machines/{machine}/snapshot", json=order)
        status: dict[str, Any] = {}

        async def ended() -> bool:
            status.update(await self.call("GET", f"/v1/snapshots/{order['snapshot_id']}"))
            return status["phase"] in ("stored", "failed")

        await until(ended, BOOT_LIMIT_S, lambda: status)
        return status

    async def until(self, machine: str, *states: str) -> dict[str, Any]:
        """Wait until the machine is in one of the states."""
        status: dict[str, Any] = {}

        async def reached() -> bool:
            status.update(await self.call("GET", f"/v1/machines/{machine}"))
            return status["state"] in states

        await until(reached, BOOT_LIMIT_S, lambda: f"{machine} to be {states}; it is {status}")
        return status

    async def exec_frames(
        self, machine: str, command: str, stdin: bytes = b"", **fields: Any
    ) -> list[Frame]:
        """Run a command to its end; every frame of it."""
        start = {"shell": command, "timeout_s": 60, "stdin": "body" if stdin else "none", **fields}
        body = json.dumps(start).encode() + b"\n" + stdin
        path = f"/v1/machines/{machine}/execs/exe_{secrets.token_hex(8)}"
        async with await self.request("POST", path, data=body) as response:
            data = await response.read()
            assert response.status == 200, data
        return list(Decoder().feed(data))

    async def run(
        self, machine: str, command: str, stdin: bytes = b"", **fields: Any
    ) -> tuple[int | None, bytes]:
        """Exit code and standard output."""
        frames = await self.exec_frames(machine, command, stdin, **fields)
        assert frames[-1].kind is Kind.EXIT, frames[-1]
        output = b"".join(f.payload for f in frames if f.kind is Kind.STDOUT)
        return frames[-1].json()["exit_code"], output

    async def _until_it_answers(self) -> None:
        async def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            with contextlib.suppress(aiohttp.ClientError):
                await self.call("GET", "/v1/health")
                return True
            return False

        await until(answers, 60, lambda: f"the daemon to answer: {self.log()}")
