"""`python -m scaibunker.worker.gateway.main`: takes its place, gives up all it does not need, serves until SIGTERM."""

import argparse
import asyncio
import dataclasses
import encodings.idna
import fcntl
import functools
import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TextIO

import structlog
import uvloop

from scaibunker.worker.gateway.confine import confine
from scaibunker.worker.gateway.control.server import ControlServer
from scaibunker.worker.gateway.counts import Counts
from scaibunker.worker.gateway.flows.leftover import Leftover
from scaibunker.worker.gateway.flows.part import make_spool
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.gateway.logs import set_up_logs
from scaibunker.worker.gateway.parts import PARTS
from scaibunker.worker.gateway.release import release
from scaibunker.worker.gateway.resolver.lookup import ResolverLookup
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.gateway.table import Table
from scaibunker.worker.network.never import Never
from scaibunker.worker.vmm.process import identify

log = structlog.get_logger(__name__)

EXIT_ANOTHER = 3
"""Another gateway has this place."""
BACKLOG = 16
SPOOLS = Path("/spool")
PRELOADED = (encodings.idna,)
DAEMON_UID = 0


def main() -> None:
    """Entry point; root alone can."""
    home = _arguments(sys.argv[1:])
    set_up_logs()
    version = release()
    lock = _take_place(home.lock)
    if lock is None:
        sys.exit(EXIT_ANOTHER)
    with lock:
        listener = _listen(home.socket)
        _prepare_root(home)
        confine(home.root_dir, home.uid)
        gc.freeze()
        uvloop.run(_serve(listener, version))


async def _serve(listener: socket.socket, version: str) -> None:
    surroundings = Surroundings(Never(), ())
    lookup = ResolverLookup(surroundings)
    parts = [functools.partial(make, surroundings, lookup) for make in PARTS]
    counts = Counts()
    leftover = Leftover(SPOOLS, make_spool, counts=counts)
    leftover.complete()
    table = Table(parts, SPOOLS, leftover.served, counts)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = ControlServer(table, surroundings, version, DAEMON_UID)
    listening = asyncio.create_task(server.run(listener), name="control")
    telling = asyncio.create_task(leftover.tell(), name="former flows")
    log.info("gateway_ready", version=version)
    try:
        await stopping.wait()
    finally:
        for task in (listening, telling):
            task.cancel()
        await asyncio.gather(listening, telling, return_exceptions=True)
        listener.close()
        server.close()
        await table.close()
        log.info("gateway_stopped")


def _arguments(argv: list[str]) -> Home:
    parser = argparse.ArgumentParser(prog="scaibunker-gateway", allow_abbrev=False)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--root-dir", type=Path, required=True)
    parser.add_argument("--uid", type=int, required=True)
    found = parser.parse_args(argv)
    return Home(found.run_dir, found.root_dir, found.uid)


def _take_place(path: Path) -> TextIO | None:
    """The lock, held for as long as it is open, with who holds it written in it; None if another does."""
    # Not "w": that would wipe what the holder has written.
    lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    identity = identify(os.getpid())
    assert identity is not None  # noqa: S101 - we run
    lock.truncate(0)
    lock.write(json.dumps(dataclasses.asdict(identity)))
    lock.flush()
    return lock


def _listen(path: Path) -> socket.socket:
    """Nobody finds the socket there before it is listened on: who is refused takes us for dead."""
    making = path.with_suffix(".new")
    making.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind(str(making))
    os.umask(0o077)
    listener.listen(BACKLOG)
    making.rename(path)
    return listener


def _prepare_root(home: Home) -> None:
    """Root's, so that the gateway makes nothing there but in its spool, which root alone can reach through it."""
    home.root_dir.mkdir(parents=True, exist_ok=True)
    os.chown(home.root_dir, 0, home.uid)
    home.root_dir.chmod(0o710)
    home.spools.mkdir(exist_ok=True)
    os.chown(home.spools, home.uid, home.uid)
    home.spools.chmod(0o700)


if __name__ == "__main__":
    main()
