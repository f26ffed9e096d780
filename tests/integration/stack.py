"""A controller for tests: the real application behind a real server, on a database of its own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from scaibunker.controller.module import MODULE, Controller
from scaibunker.controller.settings import (
    LimitSettings,
    ReconcileSettings,
    RelaySettings,
    SnapshotSettings,
    StorageSettings,
    WorkerSettings,
)
from scaibunker.wire.worker.protocol import SPOKEN, Versions
from scaigrid.app import Grid, GridSettings
from scaigrid.http.server import Server, make_server
from scaigrid.operation import system_operation
from scaigrid.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    JwtSettings,
    RateLimitSettings,
    RedisSettings,
    TracingSettings,
)
from scaigrid.tasks.domain import Span
from tests.integration.simulated_worker import TOKEN
from tests.waiting import PATIENT_S, until

BASE = "/v1/modules/scaibunker"
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Without the system's certificates, which every client would read anew and no test needs."""


@dataclass
class Knobs:
    """Settings that a test may change."""

    heartbeat_interval_s: float = 60  # most workers report once, and count as online for three
    reconcile_interval_s: float = 0.05
    provision_timeout_s: float = 60
    order_timeout_s: float = PATIENT_S
    terminate_wait_s: float = PATIENT_S
    wake_timeout_s: float = PATIENT_S
    wake_placement_s: float = 0.2
    passivation_retry_s: float = 300
    passivation_patience_s: float = 60
    exec_grace_s: float = 10
    request_timeout_s: float = PATIENT_S
    file_idle_timeout_s: float = PATIENT_S
    auth_cache_ttl_s: float = 5
    worker_token: str = TOKEN
    limits: dict[str, int] = field(default_factory=dict)
    rate_limits: dict[str, int] = field(default_factory=dict)
    http: dict[str, Any] = field(default_factory=dict)
    tracing: dict[str, Any] = field(default_factory=dict)
    jwt: dict[str, Any] = field(default_factory=dict)
    spoken: Versions = SPOKEN
    workers: dict[str, Any] = field(default_factory=dict)
    storage: dict[str, Any] = field(default_factory=dict)
    snapshots: dict[str, Any] = field(default_factory=dict)


class Stack:
    """One controller. It can be stopped and started again on the same data."""

    def __init__(
        self,
        data: Path,
        database: DatabaseSettings,
        redis: RedisSettings,
        keys: dict[str, str],
        knobs: Knobs,
    ) -> None:
        self.data = data
        self.database_settings = database
        self.redis_settings = redis
        self.keys = keys
        self.knobs = knobs
        self.client: httpx.AsyncClient
        self.grid: Grid
        self.controller: Controller
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None

    def _controller(self, platform: Any) -> Controller:
        knobs = self.knobs
        self.controller = Controller(
            platform,
            limits=LimitSettings(**knobs.limits),
            workers=WorkerSettings(
                worker_token=SecretStr(knobs.worker_token),
                worker_heartbeat_interval_s=knobs.heartbeat_interval_s,
                worker_request_timeout_s=knobs.request_timeout_s,
                **knobs.workers,
            ),
            reconcile=ReconcileSettings(
                reconcile_interval_s=knobs.reconcile_interval_s,
                provision_timeout_s=knobs.provision_timeout_s,
                order_timeout_s=knobs.order_timeout_s,
                terminate_wait_s=knobs.terminate_wait_s,
                wake_timeout_s=knobs.wake_timeout_s,
                wake_placement_s=knobs.wake_placement_s,
                passivation_retry_s=knobs.passivation_retry_s,
                passivation_patience_s=knobs.passivation_patience_s,
            ),
            relay=RelaySettings(
                exec_grace_s=knobs.exec_grace_s,
                file_idle_timeout_s=knobs.file_idle_timeout_s,
            ),
            snapshots=SnapshotSettings(**knobs.snapshots),
            storage=StorageSettings(
                **{"object_store_url": f"file://{self.data / 'objects'}", **knobs.storage}
            ),
            spoken=knobs.spoken,
        )
        return self.controller

    def assemble(self) -> HttpSettings:
        """The application, which does not serve yet."""
        http = HttpSettings(port=0, stop_timeout_s=2, **self.knobs.http)
        settings = GridSettings(
            http=http,
            database=self.database_settings,
            redis=self.redis_settings,
            auth=AuthSettings(cache_ttl_s=self.knobs.auth_cache_ttl_s),
            jwt=JwtSettings(**self.knobs.jwt),
            rate_limits=RateLimitSettings(**self.knobs.rate_limits),
            tracing=TracingSettings(**self.knobs.tracing),
        )
        self.grid = Grid(settings, [replace(MODULE, assemble=self._controller)])
        return http

    async def start(self) -> None:
        http = self.assemble()
        self._server = make_server(self.grid, http)
        self._task = asyncio.create_task(self._server.serve())
        await until(lambda: bool(self._server and self._server.started) or self._task_failed())
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            timeout=60,
            verify=_NO_TLS,
            limits=httpx.Limits(max_connections=None),  # what is at once is at once
        )

    def _task_failed(self) -> bool:
        assert self._task is not None
        assert not self._task.done(), "the server did not start"
        return False

    async def stop(self) -> None:
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._server = None
        await self.client.aclose()

    async def run_task(self, name: str) -> None:
        """Do what a background worker would, as if the last time was a minute ago."""
        [task] = [task for task in self.grid.tasks if task.name == name]
        now = self.grid.clock.now()
        await task.work(
            system_operation("tests", self.grid.clock), Span(now - timedelta(minutes=1), now)
        )

    async def write_uses(self) -> None:
        """Have the times of use written that are written now and then."""
        self.controller._activity.flush()
        await self.controller._writer.flush()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def headers(self, who: str = "user", **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}", **more}

    async def call(
        self, method: str, path: str, who: str | None = "user", **options: Any
    ) -> httpx.Response:
        """A request to the module, as one of the identities."""
        async with self.opened(method, path, who, **options) as response:
            await response.aread()
            return response

    def opened(
        self, method: str, path: str, who: str | None = "user", **options: Any
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """The same, with the answer's body still to be read."""
        headers = {**(self.headers(who) if who else {}), **options.pop("headers", {})}
        url = path if path.startswith(("/v1/", "/health", "/metrics")) else BASE + path
        return self.client.stream(method, url, headers=headers, **options)

    async def data_of(
        self, method: str, path: str, who: str | None = "user", **options: Any
    ) -> Any:
        """`data` of a request that must succeed."""
        response = await self.call(method, path, who, **options)
        assert response.status_code < 300, response.text
        return response.json()["data"]

    async def create(self, who: str = "user", wait: bool = True, **body: Any) -> dict[str, Any]:
        """A bunker, running unless told otherwise."""
        query = {"wait": "running", "timeout_s": str(PATIENT_S)} if wait else {}
        fields = {"image": "debian-12", **body}
        made: dict[str, Any] = await self.data_of(
            "POST", "/bunkers", who, json=fields, params=query
        )
        return made

    async def run(self, bunker_id: str, command: Any, **body: Any) -> dict[str, Any]:
        """What a command is answered with at its end."""
        fields = {"command": command, **body}
        done: dict[str, Any] = await self.data_of("POST", f"/bunkers/{bunker_id}/exec", json=fields)
        return done

    async def status(self, bunker_id: str, who: str = "user") -> str:
        return str((await self.data_of("GET", f"/bunkers/{bunker_id}", who))["status"])

    async def until_status(self, bunker_id: str, *wanted: str, who: str = "user") -> dict[str, Any]:
        """The record once its status is one of `wanted`."""
        record: dict[str, Any] = {}

        async def reached() -> bool:
            record.update(await self.data_of("GET", f"/bunkers/{bunker_id}", who))
            return record["status"] in wanted

        await until(reached, what=lambda: f"{bunker_id} to be {wanted}; it is {record}")
        return record


async def until_caller_is_missed(stack: Stack, bunker_id: str) -> None:
    """Wait until the log says why nobody knows how the bunker's only command ended."""

    async def logged() -> bool:
        [entry] = await stack.data_of("GET", f"/bunkers/{bunker_id}/execs")
        return entry["state"] == "lost" and "went away" in entry["error"]

    await until(logged)


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, whose envelope is checked on the way."""
    body = response.json()
    assert body["status"] == "error", body
    assert set(body["error"]) == {"code", "message", "hint", "details", "retry_after"}
    assert body["meta"]["request_id"] == response.headers["x-request-id"]
    assert body["error"]["message"]
    return response.status_code, body["error"]["code"]


def fields_of(response: httpx.Response) -> list[str]:
    """The fields that a refusal names."""
    return [entry["field"] for entry in response.json()["error"]["details"]]


async def events_of(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Server-sent events: name and data, to the end."""
    name = "message"
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, line[6:]
            name = "message"
