"""What a worker has left whose data folder is gone: told by `doctor`, and taken away by `doctor --reclaim`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scaibunker.artifacts.manifest import Artifacts
from scaibunker.worker import cgroups
from tests.host.networks.stand import leftovers
from tests.host.worker_process import WorkerProcess

pytestmark = pytest.mark.host

NETWORK = {"profile": "allowlisted", "allowlist": ["a.test"]}


@pytest.fixture
async def worker(tmp_path: Path, artifacts: Artifacts) -> AsyncIterator[WorkerProcess]:
    process = WorkerProcess(
        tmp_path,
        artifacts,
        NETWORK_CLAIMS_DIR=str(tmp_path / "claims"),
        NETWORK_TRANSFER_V4="10.237.0.0/20",
        NETWORK_TRANSFER_V6="fd5c:a1ba:7e3a::/64",
        NETWORK_POOL_SIZE="1",
    )
    await process.start()
    try:
        yield process
    finally:
        await process.take_down()


def doctor(worker: WorkerProcess, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and findings, as an operator of that worker's host asks."""
    environment = {
        **os.environ,
        "SCAIBUNKER_WORKER_RUNTIME_DIR": str(worker.run_dir),
        **{f"SCAIBUNKER_WORKER_{name}": value for name, value in worker.settings.items()},
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("scaibunker")), "doctor", "--json", *options],
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    return done.returncode, findings


async def test_what_a_lost_worker_has_left_is_taken_away(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    worker_id = (worker.data_dir / "worker-id").read_text()
    reclaim = ("--reclaim", "--worker", worker_id)
    await worker.create(network=NETWORK)
    refused = doctor(worker, *reclaim)
    assert refused[0] == 1
    assert "runs on this host" in refused[1][0]["value"]
    await worker.kill()
    refused = doctor(worker, *reclaim)
    assert refused[0] == 1
    assert "can come back" in refused[1][0]["value"]
    assert len(worker.vmm_pids()) == len(worker.gateway_pids()) == 1

    shutil.rmtree(worker.data_dir)
    code, findings = doctor(worker)
    (found,) = (f for f in findings if worker_id in f["name"])
    assert (found["ok"], found["required"]) == (False, False)
    assert f"its data folder {worker.data_dir} is gone" in found["value"]
    assert found["advice"] == "scaibunker doctor --reclaim"
    code, done = doctor(worker, *reclaim)
    assert code == 0, done
    assert done[0]["name"] == worker_id
    assert worker.vmm_pids() == worker.gateway_pids() == []
    assert leftovers(worker_id, tmp_path / "claims") == []
    assert [p for p in (tmp_path / "claims").iterdir() if p.name.startswith("ranges")] == []
    assert not worker.run_dir.exists()
    assert worker_id not in cgroups.workers()
    again = doctor(worker, *reclaim)
    assert (again[0], again[1][0]["value"]) == (1, f"{worker_id} has nothing on this host")
