"""The API in memory, as far as SDK and command line use it. One bunker's worth of truth.

It keeps what it is told and answers as the contract says; what goes wrong is put into
`transport.faults` by the test.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.unit.sdk.fake_bridges import FakeBridges
from tests.unit.sdk.fake_flows import FakeFlows
from tests.unit.sdk.fake_quotas import FakeQuotas
from tests.unit.sdk.fake_snapshots import FakeSnapshots
from tests.unit.sdk.fake_transport import OCTETS, FakeTransport, Seen, ok, refused, streamed

NOW = "2026-01-01T00:00:00Z"
BASE = "/v1/modules/scaibunker"


@dataclass
class Script:
    """What a command does."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = 0
    signal: str | None = None
    timed_out: bool = False


@dataclass
class FakeFile:
    """A file, directory or link of the bunker."""

    content: bytes = b""
    type: str = "file"
    mode: str = "0644"
    target: str | None = None


@dataclass
class FakeApi:
    """`boot_looks` is how often a new bunker is looked at before it runs; `page` the page size."""

    scripts: dict[str, Script] = field(default_factory=dict)
    files: dict[str, FakeFile] = field(default_factory=dict)
    bunkers: dict[str, dict[str, Any]] = field(default_factory=dict)
    boot_looks: int = 1
    page: int = 2
    final_status: str = "running"
    stdin: bytes = b""
    stdin_closed: bool = False
    input_over: threading.Event = field(default_factory=threading.Event)
    signals: list[str] = field(default_factory=list)
    execs: dict[str, dict[str, Any]] = field(default_factory=dict)
    ran: dict[str, Script] = field(default_factory=dict)
    keys_seen: dict[str, str] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=lambda: deepcopy(WORKERS))
    quotas: FakeQuotas = field(init=False)
    snapshots: FakeSnapshots = field(init=False)
    flows: FakeFlows = field(default_factory=FakeFlows)
    bridges: FakeBridges = field(init=False)
    transport: FakeTransport = field(init=False)

    def __post_init__(self) -> None:
        self.transport = FakeTransport(self._route)
        self.quotas = FakeQuotas(self._paged)
        self.bridges = FakeBridges(self._paged)
        self.snapshots = FakeSnapshots(self._paged, self.bunkers)

    def requests(self, method: str, ending: str = "") -> list[Seen]:
        """The requests of a method whose path ends so."""
        return [s for s in self.transport.seen if s.method == method and s.path.endswith(ending)]

    def add_bunker(self, bunker_id: str = "bnk_1", status: str = "running", **more: Any) -> str:
        """A bunker that is there."""
        self.bunkers[bunker_id] = bunker_record(bunker_id, status=status, **more)
        return bunker_id

    def _route(self, seen: Seen) -> httpx.Response:
        if seen.headers.get("authorization") != "Bearer sgk_test":
            return refused(401, "AUTH_TOKEN_INVALID", "the key is not known", hint="check it")
        if seen.path == "/v1/me":
            return ok(ME)
        if seen.path == "/v1/audit-log":
            return self._paged(AUDIT, seen)
        if seen.path == "/v1/audit-log/export":
            lines = [json.dumps(entry).encode() + b"\n" for entry in AUDIT]
            return streamed(lines, "application/x-ndjson")
        parts = seen.path.removeprefix(f"{BASE}/").split("/")
        routes: dict[str, Callable[[Seen, list[str]], httpx.Response]] = {
            "bunkers": self._bunkers,
            "images": lambda s, p: self._records(IMAGES, "IMAGE", s, p),
            "workers": self._workers,
            "snapshots": self.snapshots.route,
            "bridges": self.bridges.route,
            "quota-profiles": self.quotas.route,
        }
        if parts[0] not in routes:
            return refused(404, "NOT_FOUND", f"no route {seen.path}")
        return routes[parts[0]](seen, parts[1:])

    def _records(
        self, rows: list[dict[str, Any]], what: str, seen: Seen, parts: list[str]
    ) -> httpx.Response:
        if not parts:
            return self._paged(rows, seen)
        found = [row for row in rows if row["id"] == parts[0]]
        return ok(found[0]) if found else refused(404, f"{what}_NOT_FOUND")

    def _workers(self, seen: Seen, parts: list[str]) -> httpx.Response:
        if seen.method == "POST" and parts[1] in ("drain", "resume"):
            for row in self.workers:
                if row["id"] == parts[0]:
                    row["draining"] = parts[1] == "drain"
                    row["takes_bunkers"] = not row["draining"]
                    row["reasons"] = ["it is drained"] if row["draining"] else []
                    emptied = row["draining"] and seen.params.get("passivate") == "true"
                    row["emptied_since"] = "2026-01-01T00:00:00Z" if emptied else None
        return self._records(self.workers, "WORKER", seen, parts)

    def _paged(self, rows: list[dict[str, Any]], seen: Seen) -> httpx.Response:
        start = int(seen.params.get("cursor", 0))
        end = start + min(self.page, int(seen.params.get("limit", 50)))
        more = end < len(rows)
        return ok(rows[start:end], has_more=more, next_cursor=str(end) if more else None)

    def _bunkers(self, seen: Seen, parts: list[str]) -> httpx.Response:
        if not parts:
            return self._create(seen) if seen.method == "POST" else self._list(seen)
        if parts[0] not in self.bunkers:
            return refused(404, "BUNKER_NOT_FOUND", f"no bunker {parts[0]}", hint="list them")
        record = self.bunkers[parts[0]]
        match seen.method, parts[1:]:
            case "GET", []:
                return ok(self._looked_at(record))
            case "GET", ["audit-batches", *name]:
                return self.flows.answer(seen, parts[0], name[0] if name else None)
            case "DELETE", [] if seen.params.get("snapshot") == "true":
                if record["status"] == "running":
                    self.snapshots.take_and_end(record, seen.params.get("kind", "disk"))
                return ok(record)
            case "DELETE", []:
                record["status"] = "terminated"
                return ok(record)
            case "POST", ["snapshot"]:
                return self.snapshots.take(seen, record)
            case "POST", ["pause" | "resume" | "keepalive" as verb]:
                return self._verb(record, verb)
            case "GET", ["events"]:
                return streamed(bunker_events(record["id"], ["running", "terminated"]))
            case "POST", ["exec"]:
                return self._exec(json.loads(seen.body), record)
            case _, ["execs", *rest]:
                return self._execs(seen, rest)
            case _, ["files", *rest]:
                return self._files(seen, rest)
        return refused(405, "METHOD_NOT_ALLOWED")

    def _create(self, seen: Seen) -> httpx.Response:
        key = seen.headers["idempotency-key"]
        if key not in self.keys_seen:
            fields = json.loads(seen.body)
            if fields.get("image") == "nosuch":
                return refused(404, "IMAGE_NOT_FOUND", "no image nosuch", hint="image ls")
            bunker_id = self.add_bunker(f"bnk_{len(self.bunkers) + 1}", "pending", **fields)
            self.bunkers[bunker_id]["looks"] = self.boot_looks
            self.keys_seen[key] = bunker_id
        return ok(self.bunkers[self.keys_seen[key]], 201)

    def _list(self, seen: Seen) -> httpx.Response:
        wanted = seen.params.get("status")
        return self._paged(
            [row for row in self.bunkers.values() if wanted in (None, row["status"])], seen
        )

    def _looked_at(self, record: dict[str, Any]) -> dict[str, Any]:
        if record["status"] == "pending":
            record["looks"] -= 1
            if record["looks"] <= 0:
                record["status"] = self.final_status
                record["status_reason"] = "the image is broken"
        return record

    def _verb(self, record: dict[str, Any], verb: str) -> httpx.Response:
        if verb == "pause" and record["status"] != "running":
            return refused(409, "BUNKER_INVALID_TRANSITION", "it is paused")
        record["status"] = {"pause": "paused", "resume": "running"}.get(verb, record["status"])
        return ok(record)

    def _script(self, command: str | list[str]) -> Script:
        name = command if isinstance(command, str) else " ".join(command)
        return self.scripts.get(name, Script(stdout=name.encode() + b"\n"))

    def _exec(self, fields: dict[str, Any], record: dict[str, Any]) -> httpx.Response:
        if record["status"] != "running":
            return refused(409, "BUNKER_NOT_RUNNING", f"it is {record['status']}")
        script = self._script(fields["command"])
        if "stdin_base64" in fields:
            self.stdin += base64.b64decode(fields["stdin_base64"])
        self.stdin += fields.get("stdin", "").encode()
        exec_id = f"exe_{len(self.execs) + 1}"
        self.execs[exec_id] = exec_record(exec_id, fields, script)
        self.ran[exec_id] = script
        if fields.get("detach"):
            return ok({"exec_id": exec_id})
        if fields.get("stream"):
            return streamed(exec_events(exec_id, script))
        return ok(exec_result(exec_id, script))

    def _execs(self, seen: Seen, parts: list[str]) -> httpx.Response:
        if not parts:
            return self._paged(list(reversed(self.execs.values())), seen)
        if parts[0] not in self.execs:
            return refused(404, "EXEC_NOT_FOUND", "no such command")
        record = self.execs[parts[0]]
        match seen.method, parts[1:]:
            case "GET", []:
                return ok(record)
            case "GET", ["events"]:
                return streamed(exec_events(parts[0], self.ran[parts[0]]))
            case "GET", ["output"]:
                content = getattr(self.ran[parts[0]], seen.params["stream"])
                return streamed([content[:5], content[5:]], OCTETS)
            case "POST", ["signal"]:
                self.signals.append(json.loads(seen.body)["signal"])
                self.input_over.set()
                return httpx.Response(204)
            case "POST", ["stdin"]:
                fields = json.loads(seen.body)
                self.stdin += base64.b64decode(fields.get("data_base64", ""))
                self.stdin += fields.get("data", "").encode()
                if fields["eof"]:
                    self.stdin_closed = True
                    self.input_over.set()
                return httpx.Response(204)
        return refused(405, "METHOD_NOT_ALLOWED")

    def _files(self, seen: Seen, parts: list[str]) -> httpx.Response:
        match seen.method, parts:
            case "PUT", []:
                path = seen.params["path"]
                self.files[path] = FakeFile(seen.body, mode=seen.params.get("mode", "0644"))
                return ok({**file_entry(path, self.files[path]), "size": sum(seen.chunks)})
            case "GET", ["list"]:
                root = seen.params["path"].rstrip("/") + "/"
                rows = [
                    file_entry(path, file)
                    for path, file in sorted(self.files.items())
                    if path.startswith(root)
                ]
                return self._paged(rows, seen)
            case "POST", ["mkdir"]:
                fields = json.loads(seen.body)
                self.files[fields["path"]] = FakeFile(type="directory", mode=fields["mode"])
                return ok(file_entry(fields["path"], self.files[fields["path"]]))
            case "POST", ["move"]:
                fields = json.loads(seen.body)
                self.files[fields["destination"]] = self.files.pop(fields["source"])
                return ok(file_entry(fields["destination"], self.files[fields["destination"]]))
        return self._one_file(seen, parts)

    def _one_file(self, seen: Seen, parts: list[str]) -> httpx.Response:
        path = seen.params["path"]
        file = self.files.get(path.rstrip("/") or "/")
        if file is None:
            return refused(404, "FILE_NOT_FOUND", f"no file {path}")
        match seen.method, parts:
            case "GET", ["stat"]:
                return ok(file_entry(path, file))
            case "DELETE", []:
                del self.files[path]
                return ok(None)
            case "GET", []:
                if file.type == "directory":
                    return refused(409, "FILE_IS_DIRECTORY", f"{path} is a directory")
                return self._content(seen, file)
        return refused(405, "METHOD_NOT_ALLOWED")

    def _content(self, seen: Seen, file: FakeFile) -> httpx.Response:
        if "range" not in seen.headers:
            return streamed([file.content[:3], file.content[3:]], OCTETS)
        begin, _, end = seen.headers["range"].removeprefix("bytes=").partition("-")
        part = file.content[int(begin) : int(end) + 1 if end else None]
        return streamed([part], OCTETS, 206)


def bunker_record(bunker_id: str, **more: Any) -> dict[str, Any]:
    """A bunker's record."""
    defaults: dict[str, Any] = {
        "id": bunker_id,
        "tenant_id": "ten_1",
        "owner_user_id": "usr_1",
        "name": None,
        "status": "running",
        "status_reason": None,
        "image": "python-3.11",
        "image_id": "img_1",
        "snapshot_id": None,
        "lifecycle_mode": "ephemeral",
        "label_set": {},
        "env_vars": {},
        "network_profile": "isolated",
        "network_allowlist": None,
        "interfaces": None,
        "bandwidth_mbit": None,
        "cpu_millicores": 1000,
        "memory_mb": 512,
        "disk_mb": 1024,
        "gpu_count": 0,
        "gpu_type": None,
        "max_lifetime_s": 28800,
        "idle_timeout_s": 300,
        "session_type": "standalone",
        "session_ref": None,
        "worker_id": "wrk_1",
        "created_at": NOW,
        "started_at": None,
        "terminated_at": None,
        "last_activity_at": NOW,
        "expires_at": None,
        "passivated": False,
    }
    return {**defaults, **more}


def exec_result(exec_id: str, script: Script) -> dict[str, Any]:
    """The answer of a plain exec."""
    return {
        "exec_id": exec_id,
        "exit_code": script.exit_code,
        "signal": script.signal,
        "timed_out": script.timed_out,
        "duration_ms": 7,
        "stdout": base64.b64encode(script.stdout).decode(),
        "stderr": base64.b64encode(script.stderr).decode(),
        "encoding": "base64",
        "stdout_truncated": False,
        "stderr_truncated": False,
        "full_output_ref": None,
    }


def exec_record(exec_id: str, fields: dict[str, Any], script: Script) -> dict[str, Any]:
    """An entry of the exec log."""
    return {
        "exec_id": exec_id,
        "bunker_id": "bnk_1",
        "user_id": "usr_1",
        "command": fields["command"],
        "user": fields.get("user", "bunker"),
        "detach": fields.get("detach", False),
        "state": "exited",
        "exit_code": script.exit_code,
        "signal": script.signal,
        "timed_out": script.timed_out,
        "started_at": NOW,
        "duration_ms": 7,
        "output_preview": script.stdout[:1024].decode("utf-8", "replace"),
        "full_output_ref": None,
        "error": None,
    }


def exec_events(exec_id: str, script: Script) -> Iterable[bytes]:
    """A command as a stream of events."""
    yield sse("started", {"exec_id": exec_id})
    yield b": keep-alive\n\n"
    for name in ("stdout", "stderr"):
        content: bytes = getattr(script, name)
        for at in range(0, len(content), 65536):
            encoded = base64.b64encode(content[at : at + 65536]).decode()
            yield sse(name, {"data": encoded, "encoding": "base64"})
    end = {
        "exec_id": exec_id,
        "exit_code": script.exit_code,
        "signal": script.signal,
        "timed_out": script.timed_out,
        "duration_ms": 7,
    }
    yield sse("exit", end)
    yield b"data: [DONE]\n\n"


def bunker_events(bunker_id: str, statuses: list[str]) -> Iterable[bytes]:
    """A bunker's changes of state as a stream of events."""
    for status in statuses:
        fields = {"bunker_id": bunker_id, "status": status, "previous": None, "reason": None}
        yield sse("status", {"type": "status", **fields, "at": NOW})
    yield b"data: [DONE]\n\n"


def sse(name: str, fields: dict[str, Any]) -> bytes:
    """One event."""
    return f"event: {name}\ndata: {json.dumps(fields)}\n\n".encode()


def file_entry(path: str, file: FakeFile) -> dict[str, Any]:
    """A file as it is listed."""
    return {
        "name": path.rsplit("/", 1)[1],
        "path": path,
        "type": file.type,
        "size": len(file.content),
        "mode": file.mode,
        "uid": 1000,
        "gid": 1000,
        "mtime": NOW,
        "target": file.target,
    }


ME = {
    "user_id": "usr_1",
    "tenant_id": "ten_1",
    "name": "user",
    "role": "tenant_user",
    "permissions": ["scaibunker:create"],
}
IMAGES = [
    {
        "id": f"img_{number}",
        "name": name,
        "version": None,
        "scope": "platform",
        "tenant_id": None,
        "status": "ready",
        "sha256": "0" * 64,
        "size_bytes": 300 * 1024 * 1024,
        "default_cpu_millicores": None,
        "default_memory_mb": None,
        "default_disk_mb": None,
        "created_at": NOW,
    }
    for number, name in enumerate(["debian-12", "python-3.11", "empty"], 1)
]
AUDIT = [
    {
        "id": f"aud_{number}",
        "at": NOW,
        "tenant_id": "ten_1",
        "actor_type": "user",
        "actor_id": "usr_1",
        "actor_name": "ann",
        "action": "create_bunker",
        "method": "POST",
        "path": f"{BASE}/bunkers",
        "resource_type": "bunker",
        "resource_id": f"bnk_{number}",
        "outcome": "success",
        "status": 201,
        "code": None,
        "address": "192.0.2.1",
        "request_id": f"req_{number}",
        "details": {"folded": number},
    }
    for number in (3, 2, 1)
]
WORKERS = [
    {
        "id": "wrk_1",
        "name": "here",
        "status": "online",
        "draining": False,
        "emptied_since": None,
        "takes_bunkers": True,
        "reasons": [],
        "version": "0.1.0",
        "protocol": 1,
        "cached_images": ["0" * 64],
        "bunkers_by_status": {"running": 1},
        "reserved": {"cpu_millicores": 1000, "memory_mb": 512, "disk_mb": 1024},
        "acceleration": "tcg",
        "network_profiles": ["isolated", "registry"],
        "registry_hosts": ["*.files.registry.test", "pypi.registry.test"],
        "default_bandwidth_mbit": 100,
        "total": {"cpu_millicores": 2000, "memory_mb": 4096, "disk_mb": 20000},
        "used": {"cpu_millicores": 1000, "memory_mb": 512, "disk_mb": 1024},
        "bunkers": 1,
        "last_heartbeat_at": NOW,
        "heartbeat_age_s": 2.5,
    }
]
