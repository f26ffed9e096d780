"""The SDK against a real controller: both sides of the API agree."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.sdk import (
    AsyncClient,
    AuthenticationFailed,
    BunkerStatus,
    Conflict,
    ExecExited,
    ExecOutput,
    ExecStarted,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    SnapshotFailed,
    SnapshotKind,
    SnapshotStatus,
    Unavailable,
    ValidationFailed,
    WaitTimedOut,
)
from scaibunker.wire.worker.snapshots import SnapshotPhase as WorkerPhase
from tests.integration.commands import BINARY, hanging, pausing, speak, vanish
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack
from tests.waiting import PATIENT_S, until


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(str(stack.client.base_url), stack.keys["user"]) as made:
        yield made


async def test_identity(stack: Stack, client: AsyncClient) -> None:
    assert "scaibunker:create" in (await client.me()).permissions
    async with AsyncClient(client.base_url, "sgk_" + "x" * 32) as wrong:
        with pytest.raises(AuthenticationFailed) as caught:
            await wrong.me()
    assert caught.value.code == "AUTH_TOKEN_INVALID"
    assert caught.value.request_id is not None


async def test_api_keys(client: AsyncClient) -> None:
    created = await client.api_keys.create("ci")
    async with AsyncClient(client.base_url, created.key) as other:
        assert (await other.me()).user_id == created.user_id
        await client.api_keys.revoke(created.id)
        with pytest.raises(AuthenticationFailed):
            await other.me()
    assert created.id in [key.id async for key in client.api_keys.list(page_size=1)]


async def test_audit_log(client: AsyncClient, stack: Stack) -> None:
    created = await client.api_keys.create("ci")
    async with AsyncClient(client.base_url, stack.keys["tenant_admin"]) as admin:
        entries = [e async for e in admin.audit.list(action="create_api_key", page_size=1)]
        assert [entry.resource_id for entry in entries] == [created.id]
        since = entries[0].at
        async with admin.audit.export("csv", since=since, status=201) as chunks:
            text = b"".join([chunk async for chunk in chunks]).decode()
        assert created.id in text.splitlines()[1]


async def test_life_of_a_bunker(client: AsyncClient) -> None:
    async with await client.bunkers.create(
        image="debian-12", name="box", label_set={"a": "b"}, env_vars={"K": "v"}, wait=True
    ) as bunker:
        assert bunker.status.value == "running"
        assert bunker.record.env_vars == {"K": "v"}
        await bunker.pause()
        with pytest.raises(Conflict, match="BUNKER_NOT_RUNNING"):
            await bunker.exec("true")
        with pytest.raises(Conflict, match="BUNKER_INVALID_TRANSITION"):
            await client.bunkers.pause(bunker.id)
        await bunker.resume()
        await bunker.keepalive()
        assert (await client.bunkers.get(bunker.id)).record.name == "box"
    assert bunker.status is BunkerStatus.TERMINATED
    async with client.bunkers.events(bunker.id) as events:
        seen = [event.status async for event in events]
    assert seen[0] is BunkerStatus.PENDING
    assert seen[-1] is BunkerStatus.TERMINATED


async def test_refused_creates(client: AsyncClient) -> None:
    with pytest.raises(NotFound, match="IMAGE_NOT_FOUND"):
        await client.bunkers.create(image="nosuch")
    with pytest.raises(PermissionDenied, match="NETWORK_PROFILE_DENIED"):
        await client.bunkers.create(image="debian-12", network_profile="unrestricted")
    with pytest.raises(ValidationFailed) as caught:
        await client.bunkers.create(image="debian-12", memory_mb=1 << 30)
    assert caught.value.details[0].field == "memory_mb"


async def test_no_worker(bare: Stack) -> None:
    async with AsyncClient(str(bare.client.base_url), bare.keys["user"]) as client:
        with pytest.raises(Unavailable):
            await client.bunkers.create(image="debian-12")


async def test_lists_are_paged(client: AsyncClient) -> None:
    made = [(await client.bunkers.create(image="debian-12")).id for _ in range(5)]
    listed = [bunker.id async for bunker in client.bunkers.list(page_size=2)]
    assert listed == made[::-1]
    assert [b.id async for b in client.bunkers.list(label=["x", "y=z"])] == []
    assert [image.name async for image in client.images.list()] == ["debian-12"]
    assert (await client.images.get((await anext(client.images.list())).id)).name == "debian-12"


async def test_workers_need_an_administrator(stack: Stack, client: AsyncClient) -> None:
    with pytest.raises(PermissionDenied):
        await anext(client.workers.list())
    async with AsyncClient(client.base_url, stack.keys["super_admin"]) as admin:
        [worker] = [found async for found in admin.workers.list()]
        assert (await admin.workers.get(worker.id)).total.memory_mb == 16_384


async def test_workers_are_drained_and_resumed(stack: Stack, client: AsyncClient) -> None:
    async with AsyncClient(client.base_url, stack.keys["super_admin"]) as admin:
        worker_id = (await anext(admin.workers.list())).id
        with pytest.raises(PermissionDenied):
            await client.workers.drain(worker_id)
        drained = await admin.workers.drain(worker_id)
        assert (drained.draining, drained.takes_bunkers) == (True, False)
        assert drained.reasons
        with pytest.raises(Unavailable):
            await client.bunkers.create(image="debian-12")
        assert (await admin.workers.resume(worker_id)).takes_bunkers
        await client.bunkers.create(image="debian-12")
        with pytest.raises(NotFound, match="WORKER_NOT_FOUND"):
            await admin.workers.drain("wrk_none")


async def test_quotas(stack: Stack, client: AsyncClient) -> None:
    me = await client.me()
    async with AsyncClient(client.base_url, stack.keys["tenant_admin"]) as admin:
        profile = await admin.quotas.create("small", max_concurrent_bunkers=1, max_gpu_count=0)
        assert (profile.tenant_id, profile.max_disk_mb) == (me.tenant_id, None)
        given = await admin.quotas.assign(profile.id, "user", me.user_id)
        assert await admin.quotas.assign(profile.id, "user", me.user_id) == given
        assert [each async for each in admin.quotas.assignments(profile.id)] == [given]
        assert await admin.quotas.assignment(profile.id, given.id) == given

        await client.bunkers.create(image="debian-12")
        with pytest.raises(QuotaExceeded) as caught:
            await client.bunkers.create(image="debian-12")
        said = caught.value.details[0].model_extra
        assert said is not None
        assert (said["profile"], said["bucket"]) == (profile.id, f"user:{me.user_id}")
        [row] = [row async for row in client.quotas.usage()]
        assert (row.id, row.profiles) == (me.user_id, [profile.id])
        assert row.remaining["concurrent_bunkers"] == 0

        changed = await admin.quotas.change(profile.id, max_concurrent_bunkers=None)
        assert (changed.max_concurrent_bunkers, changed.max_gpu_count) == (None, 0)
        await client.bunkers.create(image="debian-12")

        other = await admin.quotas.create("other")
        with pytest.raises(Conflict, match="NAME_CONFLICT"):
            await admin.quotas.create("other")
        with pytest.raises(Conflict, match="NAME_CONFLICT"):
            await admin.quotas.assign(other.id, "user", me.user_id)
        listed = [each.id async for each in admin.quotas.list(page_size=1)]
        assert listed == [other.id, profile.id]
        assert await admin.quotas.unassign(profile.id, given.id) == given
        assert await admin.quotas.delete(profile.id) == changed
        with pytest.raises(NotFound, match="QUOTA_PROFILE_NOT_FOUND"):
            await admin.quotas.get(profile.id)
    with pytest.raises(PermissionDenied):
        await client.quotas.create("mine")


async def test_snapshots(worker: SimulatedWorker, client: AsyncClient) -> None:
    bunker = await client.bunkers.create(image="debian-12", wait=True)
    seen: list[float] = []
    made = await bunker.snapshot(
        "full", name="s", expires_in_s=3600, on_progress=lambda record: seen.append(record.progress)
    )
    assert (made.status, made.name, made.bunker_id) == (SnapshotStatus.READY, "s", bunker.id)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    await bunker.wait_until("running")
    other = await bunker.snapshot()
    listed = [found.id async for found in client.snapshots.list(page_size=1)]
    assert listed == [other.id, made.id]
    full = client.snapshots.list(bunker_id=bunker.id, status="ready", kind=SnapshotKind.FULL)
    assert [found async for found in full] == [made]
    assert [found async for found in client.snapshots.list(bunker_id="bnk_none")] == []

    worker.snapshots.goes_to = WorkerPhase.PACKING
    unready = await bunker.snapshot(wait=False)
    with pytest.raises(WaitTimedOut, match="is creating after 0 s"):
        await client.snapshots.wait_ready(unready.id, timeout=0)
    await until(lambda: unready.id in worker.snapshots.known)
    worker.snapshots.fail(unready.id, "no room")
    with pytest.raises(SnapshotFailed, match="no room"):
        await client.snapshots.wait_ready(unready.id)
    with pytest.raises(NotFound, match="SNAPSHOT_NOT_FOUND"):
        await client.snapshots.get("snp_none")


async def test_bunkers_of_snapshots(worker: SimulatedWorker, client: AsyncClient) -> None:
    bunker = await client.bunkers.create(image="debian-12", wait=True)
    made = await bunker.snapshot("full")
    worker.snapshots.goes_to = WorkerPhase.PACKING
    unready = await bunker.snapshot(wait=False)
    with pytest.raises(Conflict, match="SNAPSHOT_NOT_READY"):
        await client.bunkers.create(snapshot_id=unready.id)
    copy = await client.bunkers.create(snapshot_id=made.id, wait=True)
    assert (copy.record.snapshot_id, copy.record.image) == (made.id, "debian-12")
    assert await client.snapshots.delete(made.id) == made
    for gone in (
        client.snapshots.get(made.id),
        client.snapshots.delete(made.id),
        client.bunkers.create(snapshot_id=made.id),
    ):
        with pytest.raises(NotFound, match="SNAPSHOT_NOT_FOUND"):
            await gone


async def test_a_last_snapshot(worker: SimulatedWorker, client: AsyncClient) -> None:
    bunker = await client.bunkers.create(image="debian-12", wait=True)
    await bunker.delete(snapshot=SnapshotKind.FULL)
    [last] = [found async for found in client.snapshots.list(bunker_id=bunker.id)]
    assert (await client.snapshots.wait_ready(last.id)).kind is SnapshotKind.FULL
    await bunker.wait_until("terminated")
    await bunker.delete(snapshot=True)
    assert [found.id async for found in client.snapshots.list()] == [last.id]


async def test_commands(worker: SimulatedWorker, client: AsyncClient) -> None:
    worker.commands["speak"] = speak
    bunker = await client.bunkers.create(image="debian-12", wait=True)
    result = await bunker.exec("speak", stdin=b"\xff in", timeout_s=5, user="bunker", cwd="/tmp")
    assert (result.stdout_bytes, result.stderr_bytes) == (BINARY, b"\xff in")
    assert (result.exit_code, result.encoding) == (3, "base64")
    async with bunker.stream("speak", stdin="text") as stream:
        events = [event async for event in stream]
    assert isinstance(events[0], ExecStarted)
    assert isinstance(events[-1], ExecExited)
    outputs = [event for event in events if isinstance(event, ExecOutput)]
    assert b"".join(o.data for o in outputs if o.stream == "stdout") == BINARY
    assert b"".join(o.data for o in outputs if o.stream == "stderr") == b"text"
    assert [record.exit_code async for record in bunker.execs.list()] == [3, 3]


async def test_leaving_a_stream_ends_the_command(
    worker: SimulatedWorker, client: AsyncClient
) -> None:
    worker.commands["forever"] = hanging(b"first")
    bunker = await client.bunkers.create(image="debian-12", wait=True)
    async with bunker.stream("forever") as stream:
        async for event in stream:
            if isinstance(event, ExecOutput):
                break
    [run] = worker.machines[bunker.id].execs.values()
    await until(lambda: run.cancelled)


async def test_a_worker_that_dies_in_mid_stream(
    worker: SimulatedWorker, client: AsyncClient
) -> None:
    worker.commands["die"] = vanish
    bunker = await client.bunkers.create(image="debian-12", wait=True)
    async with bunker.stream("die") as stream:
        with pytest.raises(Unavailable, match="WORKER_UNREACHABLE"):
            [event async for event in stream]
    with pytest.raises(Unavailable, match="WORKER_UNREACHABLE"):
        await bunker.exec("die")


async def test_detached_commands(
    stack: Stack, worker: SimulatedWorker, client: AsyncClient
) -> None:
    go_on = asyncio.Event()

    worker.commands["slow"] = pausing(go_on, b"first ", b"second", 4)
    bunker = await client.bunkers.create(image="debian-12", wait=True)
    execution = await bunker.execs.start("slow", timeout_s=3600)
    await execution.write_stdin(b"\xff fed")
    await execution.close_stdin()
    await execution.signal("SIGUSR1")
    run = worker.machines[bunker.id].execs[execution.exec_id]
    assert (run.fed, run.signals) == (b"\xff fed", ["SIGUSR1"])
    assert (await execution.record()).state == "running"

    seen = b""
    async with execution.events() as stream:
        async for event in stream:
            if isinstance(event, ExecOutput):
                seen += event.data
                if not go_on.is_set():
                    await stack.restart()  # the controller goes away in the middle
                    await worker.beat(stack.client)
                    client._transport._http.base_url = str(stack.client.base_url)
                    go_on.set()
    assert seen == b"first second"
    assert (await execution.result()).exit_code == 4
    assert (await execution.wait(timeout=PATIENT_S)).exit_code == 4
    async with execution.output() as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"first second"
    with pytest.raises(Conflict, match="EXEC_NOT_RUNNING"):
        await execution.signal("SIGTERM")


async def test_files(client: AsyncClient, tmp_path: Path) -> None:
    files = (await client.bunkers.create(image="debian-12", wait=True)).files
    content = os.urandom(300_000)
    (tmp_path / "up").write_bytes(content)
    assert (await files.upload_file(tmp_path / "up", "/tmp/d/é 1%2f&+")).size == len(content)
    assert await files.read("/tmp/d/é 1%2f&+") == content
    async with files.stream("/tmp/d/é 1%2f&+", offset=10, length=5) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == content[10:15]
    await files.write("/tmp/d/b", base64.b64encode(content).decode())
    await files.move("/tmp/d/b", "/tmp/d/c")
    await files.mkdir("/tmp/d/e", mode=0o700)
    assert {entry.name async for entry in files.list("/tmp/d", page_size=1)} == {
        "é 1%2f&+",
        "c",
        "e",
    }
    assert (await files.stat("/tmp/d/c")).type == "file"
    summary = await files.download_directory("/tmp/d", tmp_path / "down")
    assert summary.files == 2
    assert (tmp_path / "down" / "é 1%2f&+").read_bytes() == content
    await files.delete("/tmp/d", recursive=True)
    with pytest.raises(NotFound, match="FILE_NOT_FOUND"):
        await files.stat("/tmp/d/c")
    with pytest.raises(ValidationFailed):
        await files.read("relative")
