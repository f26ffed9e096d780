"""The processes of `scaibunker dev` and what each is told, in the order in which they start."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from scaibunker.dev import worker_settings
from scaibunker.dev.child import Child
from scaibunker.dev.layout import Layout

BIN = Path(sys.executable).parent
"""Our own console scripts lie beside the interpreter."""
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "SCAIBUNKER_CACHE_DIR",
)
"""Of our environment, beside what `worker_settings` passes on; the rest stays with us, so that no stray setting changes the stack."""


def base_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def controller_environment(layout: Layout, host: str, port: int, token: str) -> dict[str, str]:
    """Settings of the controller, and of its migrations."""
    return {
        **base_environment(),
        "SCAIGRID_MODE": "http",
        "SCAIGRID_DATABASE_URL": layout.database_url,
        "SCAIGRID_REDIS_URL": layout.redis_url,
        "SCAIGRID_HTTP_HOST": host,
        "SCAIGRID_HTTP_PORT": str(port),
        "SCAIBUNKER_WORKER_TOKEN": token,
        "SCAIBUNKER_OBJECT_STORE_URL": layout.objects.as_uri(),
    }


def redis(layout: Layout, on_death: Callable[[str, int], None]) -> Child:
    """In memory alone, reached through a socket that only we may open."""
    settings = {
        "port": "0",
        "unixsocket": str(layout.redis_socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(layout.redis_socket.parent),
    }
    return Child(
        "redis",
        [
            "redis-server",
            *(word for name, value in settings.items() for word in (f"--{name}", value)),
        ],
        base_environment(),
        layout.logs / "redis.log",
        dies_with_us_by="TERM",
        on_death=on_death,
    )


def controller(
    layout: Layout, host: str, port: int, token: str, on_death: Callable[[str, int], None]
) -> Child:
    return Child(
        "controller",
        [str(BIN / "scaigrid")],
        controller_environment(layout, host, port, token),
        layout.logs / "controller.log",
        dies_with_us_by="TERM",
        on_death=on_death,
    )


def background(
    layout: Layout, host: str, port: int, token: str, on_death: Callable[[str, int], None]
) -> Child:
    """The background worker. It is told what the controller is, and listens to nobody."""
    return Child(
        "background worker",
        [str(BIN / "scaigrid")],
        {**controller_environment(layout, host, port, token), "SCAIGRID_MODE": "worker"},
        layout.logs / "background.log",
        dies_with_us_by="TERM",
        on_death=on_death,
    )


def worker(
    layout: Layout,
    controller_url: str,
    token: str,
    images: list[Path],
    probe_cache: Path,
    on_death: Callable[[str, int], None],
    *,
    keep_bunkers: bool,
    warm_starts: bool,
) -> Child:
    environment = {
        **base_environment(),
        **worker_settings.passed_on(),
        "SCAIBUNKER_WORKER_TOKEN": token,
        "SCAIBUNKER_WORKER_DATA_DIR": str(layout.worker),
        "SCAIBUNKER_WORKER_CONTROLLER_URL": controller_url,
        "SCAIBUNKER_WORKER_IMAGE_FILES": json.dumps([str(path) for path in images]),
        "SCAIBUNKER_WORKER_PROBE_CACHE": str(probe_cache),
        "SCAIBUNKER_WORKER_STOP_MACHINES_ON_EXIT": "false" if keep_bunkers else "true",
    }
    if not warm_starts:
        environment["SCAIBUNKER_WORKER_WARM_STARTS"] = "false"
    return Child(
        "worker",
        [str(BIN / "scaibunker-worker")],
        environment,
        layout.logs / "worker.log",
        # Killed, not asked to stop: a stop would take the machines down, a crash must not.
        dies_with_us_by="KILL",
        on_death=on_death,
    )
