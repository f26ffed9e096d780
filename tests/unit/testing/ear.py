"""Somebody to report to, and to ask what a worker can be asked."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Decoder, Frame
from scaibunker.wire.worker.heartbeat import Heartbeat, HeartbeatAnswer
from scaibunker.wire.worker.machines import MachineSpec, MachineState, MachineStatus
from tests.waiting import until

TOKEN = "worker-token-for-tests"
IMAGE, IMAGE_SIZE = "ab" * 32, 1 << 20
INTERVAL_S = 0.05


class Ear:
    """A controller that listens and has no opinion."""

    def __init__(self) -> None:
        self.reports: list[Heartbeat] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/modules/scaibunker/heartbeat", self._hear)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"})

    async def stop(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    async def _hear(self, request: web.Request) -> web.Response:
        self.reports.append(Heartbeat.model_validate_json(await request.read()))
        answer = HeartbeatAnswer(interval_s=INTERVAL_S)
        return web.Response(text=answer.model_dump_json(), content_type="application/json")

    def said(self, bunker_id: str) -> MachineStatus | None:
        """What the last report says of a machine."""
        return next((m for m in self.reports[-1].machines if m.bunker_id == bunker_id), None)

    async def until_said(self, bunker_id: str, state: MachineState) -> MachineStatus:
        """The machine as a report says it that comes from now on."""
        self.reports.clear()
        found: list[MachineStatus] = []

        def so() -> bool:
            status = self.said(bunker_id) if self.reports else None
            found.extend([status] if status is not None and status.state is state else [])
            return bool(found)

        await until(so, what=lambda: f"{bunker_id} to be {state}: {self.reports[-1:]}")
        return found[-1]

    def ask(
        self, host: SimulatedHost, method: str, path: str, body: bytes | None = None
    ) -> "aiohttp.client._RequestContextManager":
        assert self._session is not None
        return self._session.request(method, f"{host.address}/v1{path}", data=body)

    async def order(
        self, host: SimulatedHost, bunker_id: str = "bnk_first1", **fields: object
    ) -> int:
        ordered = spec(bunker_id).model_copy(update=fields)
        async with self.ask(
            host, "PUT", f"/machines/{bunker_id}", ordered.model_dump_json().encode()
        ) as response:
            return response.status

    async def run(
        self,
        host: SimulatedHost,
        shell: str,
        exec_id: str = "exe_first1",
        bunker_id: str = "bnk_first1",
        **start: object,
    ) -> list[Frame]:
        """A command's frames, from start to end."""
        path = f"/machines/{bunker_id}/execs/{exec_id}"
        async with self.ask(host, "POST", path, line(shell, **start)) as response:
            assert response.status == 200, await response.text()
            return list(Decoder().feed(await response.read()))

    async def follow(self, host: SimulatedHost, exec_id: str) -> AsyncIterator[Frame]:
        """A detached command's frames as they come."""
        decoder = Decoder()
        async with self.ask(
            host, "GET", f"/machines/bnk_first1/execs/{exec_id}/frames"
        ) as response:
            assert response.status == 200, await response.text()
            async for chunk in response.content.iter_any():
                for frame in decoder.feed(chunk):
                    yield frame


def line(shell: str, stdin: bytes = b"", **start: object) -> bytes:
    fields = {"shell": shell, "timeout_s": 30, "stdin": "body" if stdin else "none", **start}
    return ExecStart.model_validate(fields).model_dump_json().encode() + b"\n" + stdin


def spec(bunker_id: str) -> MachineSpec:
    return MachineSpec(
        bunker_id=bunker_id,
        tenant_id="ten_a",
        image_sha256=IMAGE,
        image_size=IMAGE_SIZE,
        cpu_millicores=500,
        memory_mb=256,
        disk_mb=64,
        hostname="first",
        env={"WHO": "me"},
    )


async def next_report(ear: Ear) -> Heartbeat:
    """One that was sent after now."""
    count = len(ear.reports)
    await until(lambda: len(ear.reports) > count + 1)
    return ear.reports[-1]


async def silent(ear: Ear) -> bool:
    """Whether nothing is reported for ten intervals."""
    await asyncio.sleep(2 * INTERVAL_S)  # what is on its way arrives
    count = len(ear.reports)
    await asyncio.sleep(10 * INTERVAL_S)
    return len(ear.reports) == count
