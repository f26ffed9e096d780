"""The database and the identities of a data folder: made at the first start, found at the next."""

import asyncio
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict

from scaibunker.artifacts.manifest import Artifacts
from scaibunker.controller.bootstrap import IDENTITIES, SeedImage, bootstrap
from scaibunker.dev import stack
from scaibunker.dev.errors import StartFailed, StartStopped
from scaibunker.dev.layout import Credentials, Layout, load_credentials, new_worker_token
from scaigrid.settings import DatabaseSettings

MIGRATE_TIMEOUT_S = 120
POLL_S = 0.02


def prepare(
    layout: Layout, host: str, port: int, artifacts: Artifacts, stop: threading.Event
) -> Credentials:
    """Bring the database up to date, make what is missing, and write `credentials.json`.

    Keys are kept over restarts. Raises StartFailed; StartStopped if `stop` is set meanwhile.
    """
    earlier = load_credentials(layout.credentials)
    token = earlier.worker_token if earlier else new_worker_token()
    _migrate(layout, host, port, token, stop)
    kept = earlier.keys if earlier else {}
    made = asyncio.run(
        bootstrap(
            DatabaseSettings(url=layout.database_url),
            _seeds(artifacts),
            # A key cannot be read again: one whose text is lost is made anew.
            reissue=set(IDENTITIES) - set(kept),
        )
    )
    tenant_id = made.pop("tenant_id")
    credentials = Credentials(
        base_url=reachable_url(host, port),
        tenant_id=tenant_id,
        keys={**kept, **made},
        worker_token=token,
    )
    credentials.save(layout.credentials)
    return credentials


def reachable_url(host: str, port: int) -> str:
    """Where this machine reaches what listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _seeds(artifacts: Artifacts) -> list[SeedImage]:
    return [
        SeedImage(**{name: value for name, value in asdict(image).items() if name != "path"})
        for image in artifacts.images
    ]


def _migrate(layout: Layout, host: str, port: int, token: str, stop: threading.Event) -> None:
    environment = stack.controller_environment(layout, host, port, token)
    environment["SCAIGRID_MODE"] = "migrate"
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(stack.BIN / "scaigrid")],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in a terminal is for us alone
        )
        try:
            code = _ended(process, stop)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code:
            output.seek(0)
            said = output.read()[-2000:].decode(errors="replace").strip()
            why = "its disk is full" if layout.is_full else said
            raise StartFailed(f"cannot bring the database in {layout.root} up to date: {why}")


def _ended(process: subprocess.Popen[bytes], stop: threading.Event) -> int:
    deadline = time.monotonic() + MIGRATE_TIMEOUT_S
    while (code := process.poll()) is None:
        if stop.wait(POLL_S):
            raise StartStopped
        if time.monotonic() > deadline:
            raise StartFailed(
                f"the database was not brought up to date within {MIGRATE_TIMEOUT_S} s"
            )
    return code
