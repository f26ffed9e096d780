"""One more worker daemon beside that of a `scaibunker dev`: another host, as far as the controller knows."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

from scaibunker.artifacts.manifest import ensure
from scaibunker.dev.stack import base_environment
from scaibunker.worker.doctor import default_probe_memory
from tests.e2e.production import Process
from tests.e2e.stack import DevStack
from tests.waiting import wait_until

NAME = "second"
ONLINE_S = 60.0


@contextlib.contextmanager
def second_worker(stack: DevStack) -> Iterator[str]:
    """Its id, once it is online. Stopping it takes its machines down."""
    folder = stack.data_dir / NAME
    images = [str(image.path) for image in ensure(lambda _: None).images]
    process = Process(
        stack.data_dir / f"{NAME}.log",
        "scaibunker-worker",
        {
            **base_environment(),
            "SCAIBUNKER_WORKER_NAME": NAME,
            "SCAIBUNKER_WORKER_TOKEN": stack.credentials["worker_token"],
            "SCAIBUNKER_WORKER_DATA_DIR": str(folder),
            "SCAIBUNKER_WORKER_CONTROLLER_URL": stack.url,
            "SCAIBUNKER_WORKER_IMAGE_FILES": json.dumps(images),
            "SCAIBUNKER_WORKER_PROBE_CACHE": str(default_probe_memory()),
            "SCAIBUNKER_WORKER_STOP_MACHINES_ON_EXIT": "true",
        },
    )
    process.start()
    try:
        with stack.client("super_admin") as http:

            def online() -> bool:
                workers = http.get("/workers").json()["data"]
                return (NAME, "online") in {(w["name"], w["status"]) for w in workers}

            wait_until(online, ONLINE_S, lambda: process.log.read_text()[-2000:])
        worker_id = (folder / "worker-id").read_text()
        yield worker_id
        assert process.signal(signal.SIGTERM) == 0, process.log.read_text()[-2000:]
        assert list((folder / "machines").iterdir()) == []
        assert list(Path("/sys/fs/cgroup").glob(f"**/scaibunker/{worker_id}")) == []
        assert not (Path("/run/scaibunker") / worker_id).exists()
    finally:
        process.end()
