"""`scaibunker dev` as a process, driven from outside with nothing but HTTP."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from scaibunker.worker.network.naming import Names
from tests.host.lab import Lab
from tests.ports import free_port
from tests.waiting import wait_until

BIN = Path(sys.executable).parent
BASE = "/v1/modules/scaibunker"
START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0


class DevStack:
    """One data folder; `start` and `stop` may be called again and again. With a `lab` its host is the lab's, with the
    lab's resolver, and `home` is that of whoever runs it there."""

    def __init__(self, data_dir: Path, lab: Lab | None = None, home: Path | None = None) -> None:
        self.data_dir = data_dir
        self._lab, self._home = lab, home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{lab.reach_host(self.port) if lab else self.port}"
        self._process: subprocess.Popen[str] | None = None
        self._errors = data_dir.parent / "dev.stderr"

    def start(self, *options: str) -> None:
        command = [str(BIN / "scaibunker"), "dev", "--data-dir", str(self.data_dir)]
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [*self._there(), *command, "--port", str(self.port), *options],
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        timer = threading.Timer(START_LIMIT_S, self._process.kill)
        timer.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        timer.cancel()
        ready = f"ready http://127.0.0.1:{self.port}\n"
        assert line == ready, (line, self._errors.read_text())

    def _there(self) -> list[str]:
        """What runs a command on the lab's host: its network, and its own /etc/resolv.conf."""
        if self._lab is None:
            return []
        resolv_conf = self._lab.resolv_conf(self.data_dir.parent)
        script = f'mount --bind {resolv_conf} /etc/resolv.conf && exec "$@"'
        return self._lab.host.command("unshare", "--mount", "sh", "-c", script, "sh")

    def _environment(self) -> dict[str, str] | None:
        if self._home is None:
            return None
        cache = os.environ.get("SCAIBUNKER_CACHE_DIR", str(Path.home() / ".cache/scaibunker"))
        return {**os.environ, "HOME": str(self._home), "SCAIBUNKER_CACHE_DIR": cache}

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def credentials(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.data_dir / "credentials.json").read_text())
        return value

    def client(self, identity: str = "user", key: str | None = None) -> httpx.Client:
        key = key or self.credentials["keys"][identity]
        return httpx.Client(
            base_url=self.url + BASE, headers={"Authorization": f"Bearer {key}"}, timeout=120
        )

    def cli(
        self, *arguments: str, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the command line with the `user` key."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "SCAIGRID_HOST": self.url,
            "SCAIGRID_API_KEY": self.credentials["keys"]["user"],
        }
        return subprocess.run(
            [str(BIN / "scaibunker"), *arguments],
            env=environment,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=120,
            check=False,
        )

    # What is on the host

    def pids(self, *needles: str) -> list[int]:
        """Processes whose command line or environment is of this stack and holds all needles."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                everything = line + (entry / "environ").read_bytes().decode(errors="replace")
                if str(self.data_dir) in everything and all(n in line for n in needles):
                    found.append(int(entry.name))
        return found

    def vmm_pids(self, bunker_id: str = "") -> list[int]:
        """Of bunkers' machines, not of those that are nobody's yet: the worker has written down which is whose."""
        recorded = set()
        for path in (self.data_dir / "worker" / "machines").glob(
            f"{bunker_id or '*'}/machine.json"
        ):
            with contextlib.suppress(OSError):
                process = json.loads(path.read_text())["process"]
                recorded.add(process["pid"] if process else 0)
        return [pid for pid in self.pids("qemu-system") if pid in recorded]

    def worker_pid(self) -> int:
        (pid,) = self.pids("scaibunker-worker")
        return pid

    def controller_pid(self) -> int:
        """Of the two processes of that program the one that serves HTTP."""
        (pid,) = (
            pid
            for pid in self.pids("bin/scaigrid")
            if b"SCAIGRID_MODE=http" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        )
        return pid

    def leftovers(self) -> list[str]:
        """Processes, control groups, sockets and mounts of ours."""
        left = [f"process {pid}" for pid in self.pids()]
        worker_id = (self.data_dir / "worker" / "worker-id").read_text()
        left += [str(p) for p in Path("/sys/fs/cgroup").glob(f"**/scaibunker/{worker_id}")]
        left += [str(p) for p in Path("/run/scaibunker").glob(worker_id)]
        mounts = Path("/proc/self/mounts").read_text()
        left += [line for line in mounts.splitlines() if str(self.data_dir) in line]
        left += [str(p) for p in (self.data_dir / "worker" / "machines").iterdir()]
        return left

    def slots(self) -> list[str]:
        """What is written down of them on this host, and their namespaces."""
        worker_id = (self.data_dir / "worker" / "worker-id").read_text()
        tag = Names.of(worker_id).tag
        claims = Path("/run/scaibunker-slots")
        left = [str(path) for path in claims.glob("*") if path.name.endswith(tag)]
        for path in claims.glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError):  # another worker's, given back meanwhile
                left += [str(path)] if worker_id in path.read_text() else []
        return left + [str(path) for path in Path("/run/netns").glob(f"scaibunker-{tag}-*")]

    def end(self) -> None:
        """Whatever state it is in: nothing of ours may go on."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Api:
    """The handful of calls that tests make again and again."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def create(self, **fields: Any) -> str:
        body = {"image": "debian-12", "memory_mb": 256, **fields}
        answer = self.http.post("/bunkers?wait=running&timeout_s=100", json=body)
        assert answer.status_code == 201, answer.text
        data = answer.json()["data"]
        assert data["status"] == "running", data
        bunker_id: str = data["id"]
        return bunker_id

    def status(self, bunker_id: str) -> dict[str, Any]:
        data: dict[str, Any] = self.http.get(f"/bunkers/{bunker_id}").json()["data"]
        return data

    def until(self, bunker_id: str, *statuses: str) -> dict[str, Any]:
        record: dict[str, Any] = {}

        def reached() -> bool:
            record.update(self.status(bunker_id))
            return record["status"] in statuses

        wait_until(reached, 90, lambda: f"{bunker_id} to be {statuses}; it is {record}")
        return record

    def exec(self, bunker_id: str, command: str | list[str], **fields: Any) -> dict[str, Any]:
        answer = self.http.post(f"/bunkers/{bunker_id}/exec", json={"command": command, **fields})
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def delete(self, bunker_id: str) -> None:
        answer = self.http.delete(f"/bunkers/{bunker_id}")
        assert answer.status_code == 200, answer.text


def sse(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Server-sent events: name and decoded data; the closing one is `("", "[DONE]")`."""
    event, data = "", ""
    for line in answer.iter_lines():
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield event, data if data == "[DONE]" else json.loads(data)
            event, data = "", ""


def error_code(answer: httpx.Response) -> str:
    code: str = answer.json()["error"]["code"]
    return code
