"""Starts QEMU processes, finds those of an earlier daemon, and ends them."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.port import Progress, VmmCapabilities, VmmConfig, unwatched
from scaibunker.worker.vmm.process import (
    ProcessId,
    WatchedProcess,
    identify,
    private_memory_mb,
    spawn,
)
from scaibunker.worker.vmm.qemu import command, migration, processor, qmp

START_TIMEOUT_S = 20.0
LOG_TAIL_BYTES = 2000


class QemuMachine:
    """One QEMU process; a `VmmHandle`."""

    def __init__(self, watched: WatchedProcess, run_dir: Path) -> None:
        self._watched = watched
        self._run_dir = run_dir

    @property
    def process(self) -> ProcessId:
        return self._watched.identity

    @property
    def channel_path(self) -> Path:
        return self._run_dir / command.CHANNEL_SOCKET

    @property
    def console_path(self) -> Path:
        return self._run_dir / command.CONSOLE_SOCKET

    @property
    def _qmp(self) -> Path:
        return self._run_dir / command.QMP_SOCKET

    async def pause(self) -> None:
        async with qmp.session(self._qmp) as session:
            await session.execute("stop")

    async def resume(self) -> None:
        async with qmp.session(self._qmp) as session:
            await session.execute("cont")

    async def is_paused(self) -> bool:
        async with qmp.session(self._qmp) as session:
            status = await session.execute("query-status")
        return not status["running"]

    async def save(self, target: int, progress: Progress) -> None:
        await self._save(target, progress, devices_only=False)

    async def save_devices(self, target: int) -> None:
        await self._save(target, unwatched, devices_only=True)

    async def _save(self, target: int, progress: Progress, *, devices_only: bool) -> None:
        if not await self.is_paused():
            raise WorkerFault("only a paused machine can be saved")
        try:
            await migration.save(self._qmp, target, progress, devices_only=devices_only)
        except BaseException:
            await self.abandon_save()
            raise

    async def abandon_save(self) -> None:
        # To its end, whoever is cancelled meanwhile: until then QEMU writes to the file.
        await asyncio.shield(migration.abandon(self._qmp))

    async def resize_disk(self, size_mb: int) -> None:
        async with qmp.session(self._qmp) as session:
            size = size_mb * 1024 * 1024
            await session.execute("block_resize", **{"node-name": command.UPPER, "size": size})

    async def memory_taken_mb(self) -> int:
        return await asyncio.to_thread(private_memory_mb, self.process.pid)

    async def stop(self) -> None:
        # Nothing in the guest is worth waiting for: its disk goes with it.
        await self._watched.kill()

    def outcome(self) -> str:
        status = self._watched.wait_status
        if status is None:
            return "its VMM ended"
        if os.WIFSIGNALED(status):
            return f"its VMM was killed by {signal.Signals(os.WTERMSIG(status)).name}"
        if os.WEXITSTATUS(status) == 0:
            return "the guest powered off, or its kernel panicked"
        return f"its VMM exited with code {os.WEXITSTATUS(status)}"

    def on_exit(self, callback: Callable[[], None]) -> None:
        self._watched.on_end(callback)


class QemuDriver:
    """A `VmmDriver` with one kind of acceleration: `kvm` or `tcg`."""

    capabilities = VmmCapabilities(memory_snapshot=True, templates=True)

    def __init__(self, acceleration: str) -> None:
        self.acceleration = acceleration
        # QEMU's own heap and stacks, and under TCG the translated code with its book-keeping.
        self.memory_overhead_mb = 128 if acceleration == "kvm" else 320

    @functools.cached_property
    def state_format(self) -> str:
        return processor.state_format(self.acceleration)

    async def start(self, config: VmmConfig) -> QemuMachine:
        return await self._launch(config, incoming=False)

    async def restore(self, config: VmmConfig, source: int, progress: Progress) -> QemuMachine:
        machine = await self._launch(config, incoming=True)
        try:
            await migration.load(
                config.run_dir / command.QMP_SOCKET,
                source,
                progress,
                devices_only=config.memory is not None,
            )
            if not await machine.is_paused():
                raise WorkerFault("the saved machine was not paused")
        except BaseException as error:
            with contextlib.suppress(TimeoutError):
                await machine.stop()
            if isinstance(error, WorkerFault):
                raise WorkerFault(f"{error.message}; QEMU said: {_tail(config.log)}") from error
            raise
        return machine

    async def _launch(self, config: VmmConfig, *, incoming: bool) -> QemuMachine:
        """Start QEMU and wait until its sockets are there (milliseconds)."""
        (config.run_dir / command.EMPTY_ROOT).mkdir(mode=0o755, exist_ok=True)
        for name in (command.QMP_SOCKET, command.CHANNEL_SOCKET, command.CONSOLE_SOCKET):
            (config.run_dir / name).unlink(missing_ok=True)
        argv = command.build(config, self.acceleration, incoming=incoming)
        pid = spawn(argv, config.log, command.handed_over(config))
        identity = identify(pid)
        watched = WatchedProcess.hold(identity) if identity else None
        if watched is None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
            raise WorkerFault(f"QEMU ended at once: {_tail(config.log)}")
        machine = QemuMachine(watched, config.run_dir)
        try:
            await _wait_for_sockets(watched, config)
        except BaseException:
            with contextlib.suppress(TimeoutError):
                await watched.kill()
            raise
        return machine

    async def adopt(self, identity: ProcessId, run_dir: Path) -> QemuMachine | None:
        watched = WatchedProcess.hold(identity)
        return None if watched is None else QemuMachine(watched, run_dir)


async def _wait_for_sockets(watched: WatchedProcess, config: VmmConfig) -> None:
    """QMP is the last socket that QEMU opens; it has a name a moment before anybody can connect to it."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _listens(config.run_dir / command.QMP_SOCKET):
        if not watched.alive:
            raise WorkerFault(f"QEMU ended at once: {_tail(config.log)}")
        if time.monotonic() > deadline:
            raise WorkerFault(f"QEMU opened no control socket within {START_TIMEOUT_S:g} s")
        await asyncio.sleep(0.005)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        attempt.setblocking(False)
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            attempt.connect(str(path))
            return True
    return False


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        data = file.read(LOG_TAIL_BYTES)
    return data.decode(errors="replace").strip() or "it said nothing"
