"""`scaibunker dev`: everything on one machine, nothing to set up by hand.

Start: build what is missing, migrate, make identities, start Redis, controller and worker, and say `ready`
when a bunker can be created; the background worker comes last, so that nobody waits for it. Stop: take
the bunkers down (unless they are to be kept), then the background worker, the worker, the controller,
and Redis.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from scaibunker.artifacts.manifest import Artifacts, ensure
from scaibunker.artifacts.records import ArtifactsError
from scaibunker.dev import stack, worker_settings
from scaibunker.dev.child import Child
from scaibunker.dev.errors import StartFailed, StartStopped
from scaibunker.dev.identities import prepare
from scaibunker.dev.layout import Credentials, Layout
from scaibunker.dev.ports import check_port
from scaibunker.sdk import Client, ScaiBunkerError
from scaibunker.wire.api.bunkers import BunkerStatus
from scaibunker.worker.doctor import default_probe_memory
from scaigrid.db.errors import DatabaseUnavailable

READY_TIMEOUT_S = 180.0
GIVE_UP_AFTER = 5
"""Deaths of one process before the stack is ready: what it dies of will not pass."""
DRAIN_AT_ONCE = 8
WORKER_STOP_S = 30.0
CONTROLLER_STOP_S = 10.0
BACKGROUND_STOP_S = 10.0
REDIS_STOP_S = 5.0
POLL_S = 0.05


class Children(NamedTuple):
    """The processes of the stack, in the order of their start."""

    redis: Child
    controller: Child
    worker: Child
    background: Child


def run(data_dir: Path, host: str, port: int, keep_bunkers: bool, as_json: bool = False) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. With `as_json` the line that says `ready` is a JSON object, and
    so is an error."""
    stop = stopped_by_signals()
    layout = Layout(data_dir)
    try:
        with started(layout, host, port, stop, keep_bunkers=keep_bunkers) as credentials:
            if not stop.is_set():
                print(_ready(layout, credentials, as_json=as_json), flush=True)
            stop.wait()
            say("stopping")
    except StartStopped:
        say("stopped before it was ready")
    except StartFailed as error:
        if as_json:
            print(
                json.dumps({"error": {"code": "StartFailed", "message": str(error)}}),
                file=sys.stderr,
            )
        else:
            say(str(error))
        return 1
    return 0


def _ready(layout: Layout, credentials: Credentials, *, as_json: bool) -> str:
    if not as_json:
        return f"ready {credentials.base_url}"
    said = {"base_url": credentials.base_url, "credentials": str(layout.credentials)}
    return json.dumps({"status": "ready", **said})


def stopped_by_signals() -> threading.Event:
    """Set when SIGTERM or SIGINT comes, which from now on do nothing else."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextlib.contextmanager
def started(
    layout: Layout,
    host: str,
    port: int,
    stop: threading.Event,
    *,
    keep_bunkers: bool,
    warm_starts: bool = True,
) -> Iterator[Credentials]:
    """The whole stack, up while inside. Without `warm_starts` every machine is booted. Raises StartFailed, or StartStopped
    for a `stop` that comes early; nothing is left running then."""
    _check_host()
    worker_settings.check()
    with _usable(layout):
        layout.make()
    with _only_one(layout):
        check_port(host, port)
        try:
            artifacts = ensure(say)
        except ArtifactsError as error:
            raise StartFailed(str(error)) from error
        # The database holds what bunkers are given; nobody else on this machine may read it.
        os.umask(0o077)
        with _usable(layout):
            credentials = prepare(layout, host, port, artifacts, stop)
        if passed_on := worker_settings.passed_on():
            say(f"the worker has settings of the environment: {', '.join(passed_on)}")
        children = _children(layout, host, port, credentials, artifacts, keep_bunkers, warm_starts)
        client = Client(credentials.base_url, credentials.keys["super_admin"])
        begun = datetime.now(UTC)
        try:
            serving = (children.redis, children.controller, children.worker)
            with _usable(layout):
                for child in serving:
                    child.start()
            _wait_until_ready(client, serving, begun, stop)
            children.background.start()
            yield credentials
        finally:
            if not keep_bunkers:
                _drain(client)
            children.background.stop(BACKGROUND_STOP_S)
            children.worker.stop(WORKER_STOP_S)
            children.controller.stop(CONTROLLER_STOP_S)
            children.redis.stop(REDIS_STOP_S)
            client.close()
            layout.clear()


@contextlib.contextmanager
def _usable(layout: Layout) -> Iterator[None]:
    """What cannot be written is said, and no traceback."""
    try:
        yield
    except (OSError, DatabaseUnavailable) as error:
        why = "its disk is full" if layout.is_full else str(error)
        raise StartFailed(f"cannot keep anything in {layout.root}: {why}") from error


def say(message: str) -> None:
    """Progress, for people: standard output is for the `ready` line."""
    print(f"scaibunker dev: {message}", file=sys.stderr, flush=True)


def _children(
    layout: Layout,
    host: str,
    port: int,
    credentials: Credentials,
    artifacts: Artifacts,
    keep_bunkers: bool,
    warm_starts: bool,
) -> Children:
    def on_death(name: str, code: int) -> None:
        say(f"the {name} ended with code {code}; starting it again (log: {layout.logs})")

    token = credentials.worker_token
    return Children(
        redis=stack.redis(layout, on_death),
        controller=stack.controller(layout, host, port, token, on_death),
        worker=stack.worker(
            layout,
            credentials.base_url,
            token,
            [image.path for image in artifacts.images],
            default_probe_memory(),
            on_death,
            keep_bunkers=keep_bunkers,
            warm_starts=warm_starts,
        ),
        background=stack.background(layout, host, port, token, on_death),
    )


def _check_host() -> None:
    if os.geteuid() != 0:
        raise StartFailed(
            "needs root: machines get namespaces, control groups and users of their own"
        )
    missing = [
        tool
        for tool in ("qemu-system-x86_64", "mke2fs", "setpriv", "redis-server")
        if not shutil.which(tool)
    ]
    if missing:
        raise StartFailed(f"{', '.join(missing)} missing; `scaibunker doctor` says what to install")


@contextlib.contextmanager
def _only_one(layout: Layout) -> Iterator[None]:
    with _usable(layout):
        held = layout.lock.open("w")
    with held as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartFailed(f"another `scaibunker dev` uses {layout.root}") from None
        yield


def _wait_until_ready(
    client: Client, children: Sequence[Child], begun: datetime, stop: threading.Event
) -> None:
    """Ready means that the worker has reported since `begun`: a bunker can be created. What it said
    before an earlier stop does not count."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not stop.is_set():
        with contextlib.suppress(ScaiBunkerError):
            if any(w.last_heartbeat_at > begun for w in client.workers.list()):
                return
        for child in children:
            if child.deaths >= GIVE_UP_AFTER:
                raise StartFailed(f"the {child.name} does not start\n{child.log_tail()}")
        if time.monotonic() > deadline:
            tails = "\n".join(f"--- {c.name}\n{c.log_tail()}" for c in children)
            raise StartFailed(f"not ready within {READY_TIMEOUT_S:g} s\n{tails}")
        stop.wait(POLL_S)


def _drain(client: Client) -> None:
    """Terminate every bunker through the API, so that rows and machines end together. One that is passivated has nothing
    here but its snapshot, and sleeps on."""

    def delete(bunker_id: str) -> None:
        with contextlib.suppress(ScaiBunkerError):
            client.bunkers.delete(bunker_id)

    with contextlib.suppress(ScaiBunkerError), ThreadPoolExecutor(DRAIN_AT_ONCE) as pool:
        for status in (s for s in BunkerStatus if not s.is_final):
            for bunker in client.bunkers.list(status=status):
                if bunker.record.passivated:
                    continue
                pool.submit(delete, bunker.id)
