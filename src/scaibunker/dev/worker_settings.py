"""Settings of the worker that a developer may make by the environment, as for a worker in production.

What ties the worker to the rest of the stack is `dev`'s own business: a token, an address or a certificate that lies about in
the environment must not break it. The rest (networks, capacity, warm starts, and so on) is passed on.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from scaibunker.dev.errors import StartFailed
from scaibunker.worker.network.settings import NetworkSettings
from scaibunker.worker.settings import WorkerSettings

PREFIX = "SCAIBUNKER_WORKER_"
NETWORK = f"{PREFIX}NETWORK_"
OURS: Mapping[str, Any] = {
    "token": SecretStr("of no use, and never shown"),
    "data_dir": Path("/"),
    "controller_url": None,
    "storage_url": None,
    "host": "127.0.0.1",
    "port": 0,
    "advertise_url": None,
    "tls_certificate": None,
    "tls_key": None,
    "tls_client_ca": None,
    "controller_ca": None,
    "image_files": [],
    "probe_cache": None,
    "heartbeat_interval_s": 10,
    "stop_machines_on_exit": True,
}
"""What `dev` decides, with values for the check of the others."""


def passed_on(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that the worker is to have, of our environment."""
    given = os.environ if environ is None else environ
    theirs = WorkerSettings.model_fields.keys() - OURS.keys() - {"network"}
    names = {f"{PREFIX}{name.upper()}" for name in theirs}
    names |= {f"{NETWORK}{name.upper()}" for name in NetworkSettings.model_fields}
    return {name: given[name] for name in sorted(names) if name in given}


def check() -> None:
    """That the worker would take those of our environment. Raises StartFailed, which names what it would not."""
    prefix = NETWORK
    try:
        network = NetworkSettings()
        prefix = PREFIX
        WorkerSettings(network=network, **OURS)
    except ValidationError as error:
        wrong = [
            f"{prefix}{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise StartFailed("\n".join(wrong)) from None
