"""The gateway's process, seen from the daemon: found if it runs, replaced if it is of another release, else started.

It outlives daemons, as VMMs do. Whoever listens on the control socket is it: the kernel says which process that is,
and while it answers there its pid cannot be another's. One that holds the lock and does not answer is ended.
"""

import asyncio
import contextlib
import fcntl
import json
import signal
import socket
import sys
from typing import TextIO

import structlog

from scaibunker.worker.gateway.control.channel import Broken, Channel
from scaibunker.worker.gateway.control.messages import Answer, StatusQuery
from scaibunker.worker.gateway.control.session import Session
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.vmm.process import ProcessId, WatchedProcess, identify, spawn

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 15.0
"""That it may take to say what it is, on a host that has no time for it; then it is ended."""
STOP_TIMEOUT_S = 15.0
"""That it may take to put the records of all flows on disk."""
POLL_S = 0.02
MAX_LOG_BYTES = 8 * 1024 * 1024
MODULE = "scaibunker.worker.gateway.main"


class GatewayUnavailable(Exception):
    """There is no gateway to talk to; the next attempt may find one."""


class Running:
    """A gateway that answers: its process, the connection to it, and what it said of itself."""

    def __init__(self, process: WatchedProcess, session: Session, status: Answer) -> None:
        self.process = process
        self.session = session
        self.status = status


async def ready(home: Home, version: str) -> Running:
    """The gateway of that release, started if need be. Raises GatewayUnavailable, OSError."""
    running = await _found(home)
    if running is not None and running.status.version != version:
        log.info("gateway_replaced", was=running.status.version, becomes=version)
        await running.session.close()
        await end(running.process)
        running = None
    if running is None:
        await _end_holder(home)
        running = await _started(home)
    return running


async def end(process: WatchedProcess) -> None:
    """SIGTERM, so that it puts the records of flows on disk; SIGKILL if it takes too long."""
    process.signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        log.warning("gateway_killed")
        await process.kill()


async def stop(home: Home) -> None:
    """End the one that runs, or is about to, if any does. Raises TimeoutError."""
    async with asyncio.timeout(2 * STOP_TIMEOUT_S):
        while True:
            running = await _found(home)
            if running is not None:
                await running.session.close()
                await end(running.process)
            with contextlib.suppress(GatewayUnavailable):
                await _end_holder(home)
                break
            await asyncio.sleep(POLL_S)
    for path in (home.socket, home.lock):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is not there
        home.run_dir.rmdir()


async def _started(home: Home) -> Running:
    home.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.root_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if home.log.stat().st_size > MAX_LOG_BYTES:
            home.log.rename(home.log.with_suffix(".log.1"))
    command = [sys.executable, "-P", "-m", MODULE]
    command += ["--run-dir", str(home.run_dir), "--root-dir", str(home.root_dir)]
    pid = spawn([*command, "--uid", str(home.uid)], home.log)
    identity = identify(pid)
    child = None if identity is None else WatchedProcess.hold(identity)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                running = await _found(home)
                if running is not None:
                    if child is not None and child.identity == running.process.identity:
                        child.release()
                    elif child is not None:  # another was quicker; ours would take its place later
                        await child.kill()
                    return running
                if child is None or not child.alive:
                    raise GatewayUnavailable(f"the gateway ended at its start; see {home.log}")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        if child is not None:
            await child.kill()
        raise GatewayUnavailable("the gateway did not answer in time") from None


async def _found(home: Home) -> Running | None:
    """The one that listens and answers."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, str(home.socket))
    except OSError:  # none, or one that is gone
        sock.close()
        return None
    channel = Channel(sock)
    pid, uid = channel.peer()
    identity = identify(pid)
    process = None if identity is None else WatchedProcess.hold(identity)
    if uid != 0 or process is None:
        channel.close()
        return None
    session = Session(channel)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            # Answered after we hold it: so it is the process that we hold.
            status = await session.ask(lambda number: StatusQuery(id=number))
    except (Broken, TimeoutError):
        await session.close()
        process.release()
        return None
    return Running(process, session, status)


def lives(home: Home) -> bool:
    """Whether there is one, be it able to answer or not."""
    with contextlib.suppress(FileNotFoundError), home.lock.open("r+") as lock:
        return _held(lock)
    return False


def _held(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


async def _end_holder(home: Home) -> None:
    """End whoever holds the lock and could not be talked to."""
    try:
        lock = home.lock.open("r+")
    except FileNotFoundError:
        return
    with lock:
        if not _held(lock):
            return
        try:
            identity = ProcessId(**json.load(lock))
        except (ValueError, TypeError):  # it is about to write it, or we are too early
            raise GatewayUnavailable("another gateway is starting") from None
    process = WatchedProcess.hold(identity)
    if process is not None:
        log.warning("gateway_does_not_answer", pid=identity.pid)
        await end(process)
