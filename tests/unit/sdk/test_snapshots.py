"""Snapshots: made once, followed until they are ready, and what new bunkers are made of."""

import json
from typing import Any

import httpx
import pytest

from scaibunker.sdk import (
    AsyncClient,
    BunkerStatus,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidArgument,
    NotFound,
    Snapshot,
    SnapshotFailed,
    SnapshotKind,
    SnapshotPhase,
    SnapshotStatus,
    WaitTimedOut,
)
from scaibunker.sdk._sync import snapshots as blocking
from tests.unit.sdk.fake_api import BASE, FakeApi
from tests.unit.sdk.fake_transport import Seen, always, refused


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the blocking client would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(blocking, "sleep", slept.append)
    return slept


def body_of(api: FakeApi) -> Any:
    return json.loads(api.requests("POST", "/snapshot")[-1].body)


def test_a_snapshot_is_followed_until_it_is_ready(
    api: FakeApi, client: Client, pauses: list[float]
) -> None:
    bunker = client.bunkers.get(api.add_bunker())
    seen: list[Snapshot] = []
    made = bunker.snapshot(
        SnapshotKind.FULL, name="before", expires_in_s=3600, on_progress=seen.append
    )
    assert body_of(api) == {"kind": "full", "name": "before", "expires_in_s": 3600}
    assert (made.status, made.size_bytes) == (SnapshotStatus.READY, 4096)
    assert [record.progress for record in seen] == [0.0, 0.0, 0.15, 0.45, 0.8, 1.0]
    assert [record.phase for record in seen] == [None, None, *SnapshotPhase, None]
    assert len(pauses) == 5
    assert all(pause >= 0.05 for pause in pauses), "it would look all the time"
    assert made == client.snapshots.get(made.id)


def test_only_what_is_given_is_sent(api: FakeApi, client: Client) -> None:
    made = client.bunkers.get(api.add_bunker()).snapshot(wait=False)
    assert body_of(api) == {"kind": "disk"}
    assert made.status is SnapshotStatus.CREATING
    assert api.requests("GET", made.id) == []


def test_one_whose_answer_is_lost_is_made_once(api: FakeApi, client: Client) -> None:
    def act_and_break(seen: Seen) -> httpx.Response:
        api.transport.handler(seen)
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    bunker = api.add_bunker()
    api.transport.faults.append(act_and_break)
    made = client.snapshots.create(bunker, wait=False)
    assert [row["id"] for row in api.snapshots.rows] == [made.id]
    keys = {seen.headers["idempotency-key"] for seen in api.requests("POST", "/snapshot")}
    assert len(keys) == 1
    again = client.snapshots.create(bunker, wait=False, idempotency_key=keys.pop())
    assert again.id == made.id


def test_one_that_fails(api: FakeApi, client: Client, pauses: list[float]) -> None:
    api.snapshots.outcome, api.snapshots.reason = "failed", "its worker went silent"
    with pytest.raises(SnapshotFailed, match="snp_1 has failed: its worker went silent") as caught:
        client.snapshots.create(api.add_bunker())
    assert (caught.value.snapshot_id, caught.value.reason) == ("snp_1", "its worker went silent")


def test_one_that_takes_too_long_goes_on(api: FakeApi, client: Client) -> None:
    made = client.snapshots.create(api.add_bunker(), wait=False)
    with pytest.raises(WaitTimedOut, match="snapshot snp_1 is creating after 0 s, not ready"):
        client.snapshots.wait_ready(made.id, timeout=0)
    assert api.requests("DELETE") == []


def test_one_that_is_deleted_while_it_is_waited_for(
    api: FakeApi, client: Client, pauses: list[float]
) -> None:
    made = client.snapshots.create(api.add_bunker(), wait=False)

    def delete(record: Snapshot) -> None:
        if record.phase is SnapshotPhase.PACKING:
            client.snapshots.delete(record.id)

    with pytest.raises(NotFound, match="SNAPSHOT_NOT_FOUND"):
        client.snapshots.wait_ready(made.id, on_progress=delete)


def test_a_bunker_that_cannot_be_copied_now(api: FakeApi, client: Client) -> None:
    bunker = api.add_bunker(status="provisioning")
    with pytest.raises(Conflict, match="BUNKER_INVALID_TRANSITION"):
        client.snapshots.create(bunker)


def test_list_get_delete(api: FakeApi, client: Client) -> None:
    for number in range(5):
        api.snapshots.add("bnk_1", kind="full" if number else "disk")
    api.snapshots.add("bnk_2", kind="full")
    found = client.snapshots.list(bunker_id="bnk_1", status="ready", kind="full", page_size=2)
    assert [snapshot.id for snapshot in found] == ["snp_5", "snp_4", "snp_3", "snp_2"]
    first = api.requests("GET", "/snapshots")[0].params
    assert first == {"bunker_id": "bnk_1", "status": "ready", "kind": "full", "limit": "2"}
    assert len(list(client.snapshots.list())) == 6
    assert client.snapshots.get("snp_1").kind is SnapshotKind.DISK
    assert client.snapshots.delete("snp_1").id == "snp_1"
    with pytest.raises(NotFound, match="SNAPSHOT_NOT_FOUND") as caught:
        client.snapshots.get("snp_1")
    assert caught.value.code == "SNAPSHOT_NOT_FOUND"


def test_a_delete_whose_answer_is_lost_is_not_sent_again(api: FakeApi, client: Client) -> None:
    api.transport.faults.append(httpx.ReadError("reset"))
    with pytest.raises(ConnectionFailed) as caught:
        client.snapshots.delete(api.snapshots.add())
    assert caught.value.may_have_run
    assert len(api.requests("DELETE")) == 1


def test_a_bunker_of_a_snapshot(api: FakeApi, client: Client) -> None:
    bunker = client.bunkers.create(
        snapshot_id=api.snapshots.add(kind="full"), snapshot_kind="disk", disk_mb=2048, wait=True
    )
    assert json.loads(api.requests("POST", "/bunkers")[0].body) == {
        "snapshot_id": "snp_1",
        "snapshot_kind": "disk",
        "disk_mb": 2048,
    }
    assert bunker.status is BunkerStatus.RUNNING
    refusal = refused(409, "SNAPSHOT_NOT_READY", "it is being created", hint="wait")
    api.transport.faults.append(always(refusal))
    with pytest.raises(Conflict, match="SNAPSHOT_NOT_READY"):
        client.bunkers.create(snapshot_id="snp_1")


def test_a_last_snapshot(api: FakeApi, client: Client, pauses: list[float]) -> None:
    bunker = client.bunkers.get(api.add_bunker())
    bunker.delete(snapshot=True)
    [seen] = api.requests("DELETE")
    assert (seen.path, seen.params) == (f"{BASE}/bunkers/bnk_1", {"snapshot": "true"})
    assert bunker.status is BunkerStatus.SNAPSHOTTING
    [last] = client.snapshots.list(bunker_id=bunker.id)
    assert client.snapshots.wait_ready(last.id).kind is SnapshotKind.DISK
    bunker.wait_until("terminated")
    client.bunkers.delete("bnk_1")
    client.bunkers.delete("bnk_1", snapshot=SnapshotKind.FULL)
    asked = [seen.params for seen in api.requests("DELETE")]
    assert asked[1:] == [{}, {"snapshot": "true", "kind": "full"}]
    with pytest.raises(InvalidArgument, match=r"^kind: "):
        client.bunkers.delete("bnk_1", snapshot="memory")
    assert len(api.requests("DELETE")) == len(asked)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kind": "memory"}, "kind"),
        ({"name": "-"}, "name"),
        ({"expires_in_s": 0}, "expires_in_s"),
    ],
)
def test_what_breaks_a_rule_is_not_sent(
    api: FakeApi, client: Client, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{named}: "):
        client.snapshots.create("bnk_1", **options)
    with pytest.raises(InvalidArgument, match=r"^snapshot id: "):
        client.snapshots.get("../bunkers")
    assert api.transport.seen == []


def test_a_worker_is_emptied(api: FakeApi, client: Client) -> None:
    assert client.workers.drain("wrk_1", passivate=True).draining
    assert client.workers.drain("wrk_1").draining
    client.workers.resume("wrk_1")
    drains = [seen.params for seen in api.requests("POST", "/drain")]
    assert drains == [{"passivate": "true"}, {}]
    assert api.requests("POST", "/resume")[0].params == {}


async def test_the_other_client_does_the_same(api: FakeApi, aclient: AsyncClient) -> None:
    bunker = await aclient.bunkers.get(api.add_bunker())
    seen: list[float] = []
    made = await bunker.snapshot("full", on_progress=lambda record: seen.append(record.progress))
    assert (made.status, seen[-1]) == (SnapshotStatus.READY, 1.0)
    assert [found.id async for found in aclient.snapshots.list(kind="full")] == [made.id]
    again = await aclient.bunkers.create(snapshot_id=made.id, wait=True)
    await again.delete(snapshot=True)
    assert (await aclient.snapshots.delete(made.id)).id == made.id
    with pytest.raises(NotFound):
        await aclient.snapshots.wait_ready(made.id)
