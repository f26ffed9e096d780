"""A worker without machines, that speaks the real worker protocol.

What its machines and commands do is the test's to say: `boot` for how an order ends, `commands`
for what a command does to its stream of frames, `faults` for what goes wrong. Everything it was
asked is in `orders`, `removed` and `execs`; a machine that is ordered twice is `built` once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx
from aiohttp import web

from scaibunker.wire.guest.execs import ExecExit, ExecStart
from scaibunker.wire.guest.frames import CONTENT_TYPE, Decoder, Kind, encode_json
from scaibunker.wire.worker import PROTOCOL_HEADER
from scaibunker.wire.worker.bridges import BridgeSpec
from scaibunker.wire.worker.heartbeat import Capacity, Heartbeat, HeartbeatAnswer
from scaibunker.wire.worker.machines import ExecStatus, MachineSpec, MachineState, MachineStatus
from scaibunker.wire.worker.protocol import SPOKEN, version_of
from scaibunker.wire.worker.snapshots import SnapshotRequest, SnapshotSource
from tests.integration.commands import Behaviour, Output, Vanish, echo
from tests.integration.refusals import answer_with, refusal, refuse
from tests.integration.simulated_bridges import SimulatedBridges
from tests.integration.simulated_files import SimulatedFiles
from tests.integration.simulated_snapshots import SimulatedSnapshots

TOKEN = "worker-token-for-tests"
IMAGE = "a" * 64


@dataclass
class SimExec:
    """A command that was started."""

    start: ExecStart
    stdin: bytes
    mode: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    signals: list[str] = field(default_factory=list)
    fed: bytes = b""
    frames: bytes = b""
    exit: ExecExit | None = None


@dataclass
class SimMachine:
    """A machine that was ordered."""

    spec: MachineSpec
    state: MachineState = MachineState.BUILDING
    reason: str | None = None
    console_tail: str | None = None
    reason_code: str | None = None
    files: SimulatedFiles = field(default_factory=SimulatedFiles)
    execs: dict[str, SimExec] = field(default_factory=dict)

    def status(self) -> MachineStatus:
        return MachineStatus(
            bunker_id=self.spec.bunker_id,
            state=self.state,
            reason=self.reason,
            reason_code=self.reason_code,
            console_tail=self.console_tail,
        )


class SimulatedWorker:
    """One worker. `boot`: what becomes of an order: `running`, `building`, `failed`."""

    def __init__(self, worker_id: str = "wrk_sim") -> None:
        self.worker_id = worker_id
        self.token = TOKEN
        self.spoken = SPOKEN
        self.boot = "running"
        self.restores: Callable[[SnapshotSource], tuple[str, str] | None] = lambda _: None
        """Why it cannot make a machine of a snapshot, and the code; None if it can."""
        self.capacity = Capacity(cpu_millicores=16_000, memory_mb=16_384, disk_mb=65_536)
        self.network_profiles = ["isolated"]
        self.registry_hosts: list[str] = []
        self.default_bandwidth_mbit: int | None = 100
        self.addresses: list[str] = []
        self.images = [IMAGE]
        self.machines: dict[str, SimMachine] = {}
        self.commands: dict[str, Behaviour] = {}
        self.orders: list[str] = []
        self.built: list[str] = []
        self.removed: list[str] = []
        self.faults: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse | None]]] = {}
        self.finished: list[ExecStatus] = []
        self.snapshots = SimulatedSnapshots()
        self.bridges = SimulatedBridges()
        self.port = 0
        self.refused = 0
        self._runner: web.AppRunner | None = None
        self._spools: set[asyncio.Task[None]] = set()

    # -- the process

    async def start(self) -> None:
        """Listen; on the same port as before if it has run already."""
        app = web.Application(middlewares=[self._gate], client_max_size=64 << 20)
        base = "/v1/machines/{machine}"
        app.router.add_get("/v1/health", self._health)
        app.router.add_get("/v1/machines", self._list)
        app.router.add_put(base, self._order)
        app.router.add_get(base, self._show)
        app.router.add_delete(base, self._remove)
        app.router.add_put(base + "/power", self._power)
        app.router.add_post(base + "/snapshot", self._snapshot)
        app.router.add_get("/v1/snapshots/{snapshot}", self._show_snapshot)
        app.router.add_delete("/v1/snapshots/{snapshot}", self._forget_snapshot)
        app.router.add_put("/v1/bridges/{bridge}", self._make_bridge)
        app.router.add_delete("/v1/bridges/{bridge}", self._remove_bridge)
        app.router.add_post(base + "/execs/{exec}", self._exec)
        app.router.add_get(base + "/execs/{exec}", self._exec_status)
        app.router.add_get(base + "/execs/{exec}/frames", self._frames)
        app.router.add_post(base + "/execs/{exec}/signal", self._signal)
        app.router.add_post(base + "/execs/{exec}/stdin", self._stdin)
        app.router.add_route("*", base + "/files{verb:.*}", self._files)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Die: every connection breaks."""
        for task in self._spools:
            task.cancel()
        await asyncio.gather(*self._spools, return_exceptions=True)
        await self.snapshots.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- towards the controller

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(
            worker_id=self.worker_id,
            name=self.worker_id,
            address=self.address,
            protocol=self.spoken.newest,
            version="0-sim",
            acceleration="none",
            network_profiles=self.network_profiles,
            capacity=self.capacity,
            machines=[machine.status() for machine in self.machines.values()],
            finished_execs=self.finished,
            snapshots=list(self.snapshots.known.values()),
            cached_images=self.images,
            registry_hosts=self.registry_hosts,
            default_bandwidth_mbit=self.default_bandwidth_mbit,
            addresses=self.addresses,
            bridges=sorted(self.bridges.known),
        )

    async def send(self, client: httpx.AsyncClient, report: Heartbeat) -> httpx.Response:
        """A heartbeat that says `report`."""
        return await client.post(
            "/v1/modules/scaibunker/heartbeat",
            content=report.model_dump_json(),
            headers={"Authorization": f"Bearer {self.token}"},
        )

    async def beat(self, client: httpx.AsyncClient) -> HeartbeatAnswer:
        """One heartbeat; does what the answer says."""
        response = await self.send(client, self.heartbeat())
        response.raise_for_status()
        answer = HeartbeatAnswer.model_validate_json(response.content)
        for bunker_id in answer.terminate:
            self.machines.pop(bunker_id, None)
        self.finished = [e for e in self.finished if e.exec_id not in answer.acknowledged_execs]
        return answer

    def become(
        self,
        bunker_id: str,
        state: MachineState,
        reason: str | None = None,
        console: str | None = None,
    ) -> None:
        """Change a machine, as if something had happened to it."""
        machine = self.machines[bunker_id]
        machine.state, machine.reason, machine.console_tail = state, reason, console

    # -- the routes

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"worker_id": self.worker_id})

    @web.middleware
    async def _gate(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return refuse(401, "SERVICE_TOKEN_INVALID", "wrong token")
        if version_of(request.headers.get(PROTOCOL_HEADER)) not in self.spoken:
            self.refused += 1
            return refuse(503, "PROTOCOL_MISMATCH", "another version")
        for prefix, fault in self.faults.items():
            if f"{request.method} {request.path}".startswith(prefix):
                answer = await fault(request)
                if answer is not None:
                    return answer
        return await handler(request)

    def _machine(self, request: web.Request) -> SimMachine:
        machine = self.machines.get(request.match_info["machine"])
        if machine is None:
            raise refusal(404, "BUNKER_NOT_FOUND", "no such machine")
        return machine

    def _running(self, request: web.Request) -> SimMachine:
        machine = self._machine(request)
        if machine.state is not MachineState.RUNNING:
            raise refusal(409, "BUNKER_NOT_RUNNING", f"the machine is {machine.state}")
        return machine

    async def _list(self, _: web.Request) -> web.Response:
        statuses = [m.status().model_dump(mode="json") for m in self.machines.values()]
        return web.json_response({"machines": statuses})

    async def _order(self, request: web.Request) -> web.Response:
        spec = MachineSpec.model_validate_json(await request.read())
        self.orders.append(spec.bunker_id)
        known = self.machines.get(spec.bunker_id)
        if known is not None and known.spec != spec:
            raise refusal(409, "NAME_CONFLICT", "it exists with another specification")
        if known is None:
            machine = self.machines[spec.bunker_id] = SimMachine(spec)
            self.built.append(spec.bunker_id)
            fault = self.restores(spec.snapshot) if spec.snapshot else None
            if fault is not None:
                machine.state = MachineState.FAILED
                machine.reason, machine.reason_code = fault
            elif self.boot == "failed":
                machine.state, machine.reason = MachineState.FAILED, "the kernel panicked"
                machine.console_tail = "Kernel panic - not syncing"
            elif self.boot == "running":
                machine.state = MachineState.RUNNING
        return answer_with(self.machines[spec.bunker_id].status(), 202)

    async def _show(self, request: web.Request) -> web.Response:
        return answer_with(self._machine(request).status())

    async def _remove(self, request: web.Request) -> web.Response:
        bunker_id = request.match_info["machine"]
        self.removed.append(bunker_id)
        self.machines.pop(bunker_id, None)
        return web.Response(status=204)

    async def _power(self, request: web.Request) -> web.Response:
        machine = self._machine(request)
        wanted = (await request.json())["state"]
        machine.state = MachineState.PAUSED if wanted == "paused" else MachineState.RUNNING
        return answer_with(machine.status())

    async def _snapshot(self, request: web.Request) -> web.Response:
        machine = self._machine(request)
        if machine.state not in (MachineState.RUNNING, MachineState.PAUSED):
            raise refusal(409, "BUNKER_NOT_RUNNING", f"the machine is {machine.state}")
        wanted = SnapshotRequest.model_validate_json(await request.read())
        return answer_with(self.snapshots.order(machine.spec, wanted), 202)

    async def _show_snapshot(self, request: web.Request) -> web.Response:
        status = self.snapshots.known.get(request.match_info["snapshot"])
        if status is None:
            raise refusal(404, "SNAPSHOT_NOT_FOUND", "no such snapshot")
        return answer_with(status)

    async def _forget_snapshot(self, request: web.Request) -> web.Response:
        self.snapshots.forget(request.match_info["snapshot"])
        return web.Response(status=204)

    async def _make_bridge(self, request: web.Request) -> web.Response:
        made = self.bridges.make(BridgeSpec.model_validate_json(await request.read()))
        if made is None:
            raise refusal(409, "NAME_CONFLICT", "it exists with another specification")
        return answer_with(made)

    async def _remove_bridge(self, request: web.Request) -> web.Response:
        if not self.bridges.remove(request.match_info["bridge"]):
            raise refusal(409, "BRIDGE_IN_USE", "machines are plugged into it")
        return web.Response(status=204)

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        machine = self._running(request)
        line, _, stdin = (await request.read()).partition(b"\n")
        start = ExecStart.model_validate_json(line)
        mode = request.query["mode"]
        run = machine.execs[request.match_info["exec"]] = SimExec(start, stdin, mode)
        if mode == "spool":
            task = asyncio.create_task(self._spool(run))
            self._spools.add(task)
            task.add_done_callback(self._spools.discard)
            return answer_with(self._status(request, run), 202)
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        await response.prepare(request)
        try:
            await self._run(run, response.write)
        except asyncio.CancelledError:
            run.cancelled = True
            raise
        except Vanish:
            assert request.transport is not None
            request.transport.abort()
        finally:
            run.ended.set()
        return response

    async def _run(self, run: SimExec, write: Callable[[bytes], Awaitable[None]]) -> None:
        await write(encode_json(Kind.STARTED, {"pid": 42}))
        behaviour = self.commands.get(run.start.shell or "", echo)
        await behaviour(run.start, Output(write, run.stdin))

    async def _spool(self, run: SimExec) -> None:
        async def keep(data: bytes) -> None:
            run.frames += data

        with contextlib.suppress(Vanish):
            await self._run(run, keep)
        for frame in Decoder().feed(run.frames):
            if frame.kind is Kind.EXIT:
                run.exit = ExecExit.model_validate(frame.json())
        run.ended.set()

    def _status(self, request: web.Request, run: SimExec) -> ExecStatus:
        out = b"".join(f.payload for f in Decoder().feed(run.frames) if f.kind is Kind.STDOUT)
        return ExecStatus(
            bunker_id=request.match_info["machine"],
            exec_id=request.match_info["exec"],
            running=not run.ended.is_set(),
            exit=run.exit,
            stdout_bytes=len(out),
            stdout_preview=out[:1024].decode("utf-8", "replace"),
        )

    def _found(self, request: web.Request) -> SimExec:
        run = self._machine(request).execs.get(request.match_info["exec"])
        if run is None:
            raise refusal(404, "EXEC_NOT_FOUND", "no such command")
        return run

    async def _exec_status(self, request: web.Request) -> web.Response:
        return answer_with(self._status(request, self._found(request)))

    async def _frames(self, request: web.Request) -> web.StreamResponse:
        run = self._found(request)
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        await response.prepare(request)
        sent = 0
        while True:
            ended = run.ended.is_set()
            if len(run.frames) > sent:
                await response.write(run.frames[sent:])
                sent = len(run.frames)
            elif ended:
                return response
            else:
                await asyncio.sleep(0.01)

    async def _signal(self, request: web.Request) -> web.Response:
        run = self._found(request)
        if run.ended.is_set():
            raise refusal(409, "EXEC_NOT_RUNNING", "the command has ended")
        run.signals.append((await request.json())["signal"])
        return web.Response(status=204)

    async def _stdin(self, request: web.Request) -> web.Response:
        run = self._found(request)
        run.fed += await request.read()
        return web.Response(status=204)

    async def _files(self, request: web.Request) -> web.StreamResponse:
        return await self._running(request).files.handle(request)


@contextlib.asynccontextmanager
async def beating(worker: SimulatedWorker, client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Heartbeats for as long as the block runs; one that is refused is followed by the next."""

    async def beat() -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await worker.beat(client)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
