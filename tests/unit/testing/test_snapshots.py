"""Snapshots between simulated hosts: made on one, gone on with on another, reported by heartbeat."""

import json
from pathlib import Path

from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.snapshots import SnapshotPhase, SnapshotSource, SnapshotStatus
from scaibunker.worker.snapshots.store import LocalStore
from tests.unit.testing.ear import IMAGE, IMAGE_SIZE, INTERVAL_S, TOKEN, Ear, spec
from tests.waiting import until

FIRST, COPY = "bnk_first1", "bnk_copy1"


async def test_a_copy_goes_on_on_another_host(ear: Ear, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "stored")
    hosts = []
    for name in ("one", "two"):
        host = SimulatedHost(
            tmp_path,
            name,
            controller_url=ear.url,
            token=TOKEN,
            images={IMAGE: IMAGE_SIZE},
            heartbeat_interval_s=INTERVAL_S,
        )
        host.hardware.store = store
        await host.start()
        hosts.append(host)
    one, two = hosts
    try:
        assert await ear.order(one, FIRST) == 202
        await until(lambda: FIRST in one.machines and one.machines[FIRST].guest.generation != "")
        async with ear.ask(one, "PUT", f"/machines/{FIRST}/files?path=/a", b"kept") as answer:
            assert answer.status == 200
        order = json.dumps({"snapshot_id": "snp_first1", "kind": "full"}).encode()
        async with ear.ask(one, "POST", f"/machines/{FIRST}/snapshot", order) as answer:
            assert answer.status == 202
        done: list[SnapshotStatus] = []

        def stored() -> bool:
            done.extend(
                s for r in ear.reports for s in r.snapshots if s.phase is SnapshotPhase.STORED
            )
            return bool(done)

        await until(stored)
        assert done[0].manifest_sha256 is not None
        source = SnapshotSource(
            snapshot_id="snp_first1", kind="full", manifest_sha256=done[0].manifest_sha256
        )
        copy = spec(COPY).model_copy(update={"snapshot": source})
        body = copy.model_dump_json().encode()
        async with ear.ask(two, "PUT", f"/machines/{COPY}", body) as answer:
            assert answer.status == 202

        async def runs() -> bool:
            async with ear.ask(two, "GET", f"/machines/{COPY}") as answer:
                status = await answer.json()
            assert status["state"] != MachineState.FAILED, status
            return bool(status["state"] == MachineState.RUNNING)

        await until(runs)
        guests = [one.machines[FIRST].guest, two.machines[COPY].guest]
        assert guests[0].token != guests[1].token
        assert guests[0].generation != guests[1].generation
        async with ear.ask(two, "GET", f"/machines/{COPY}/files?path=/a") as answer:
            assert await answer.read() == b"kept"
    finally:
        for host in hosts:
            await host.close()
