"""Quota profiles: what is sent, what may be sent again, and what never leaves."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from scaibunker.sdk import (
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidArgument,
    NotFound,
    QuotaMode,
    QuotaTargetKind,
)
from tests.unit.sdk.fake_api import FakeApi
from tests.unit.sdk.fake_quotas import usage_row

LOST = httpx.RemoteProtocolError("Server disconnected without sending a response.")


def body_of(api: FakeApi, method: str) -> Any:
    return json.loads(api.requests(method)[-1].body)


def test_a_profiles_life(api: FakeApi, client: Client) -> None:
    made = client.quotas.create("small", max_concurrent_bunkers=2, max_disk_mb=None)
    assert body_of(api, "POST") == {
        "name": "small",
        "max_concurrent_bunkers": 2,
        "max_disk_mb": None,
    }
    assert (made.id, made.max_concurrent_bunkers, made.max_memory_mb) == ("qpf_1", 2, None)
    assert client.quotas.get(made.id) == made
    changed = client.quotas.change(made.id, max_concurrent_bunkers=None, max_memory_mb=64)
    assert body_of(api, "PATCH") == {"max_concurrent_bunkers": None, "max_memory_mb": 64}
    assert (changed.max_concurrent_bunkers, changed.max_memory_mb) == (None, 64)
    assert client.quotas.delete(made.id) == changed
    with pytest.raises(NotFound, match="QUOTA_PROFILE_NOT_FOUND"):
        client.quotas.get(made.id)


def test_the_platforms_default_is_asked_for_by_a_null(api: FakeApi, client: Client) -> None:
    client.quotas.create("default", tenant_id=None)
    assert body_of(api, "POST") == {"name": "default", "tenant_id": None}


def test_lists_are_paged(api: FakeApi, client: Client) -> None:
    made = [client.quotas.create(f"p{number}").id for number in range(5)]
    assert [profile.id for profile in client.quotas.list()] == made[::-1]
    given = [client.quotas.assign(made[0], "user", f"usr_{number}").id for number in range(3)]
    client.quotas.assign(made[1], "user", "usr_3")
    assert [each.id for each in client.quotas.assignments(made[0], page_size=1)] == given[::-1]
    assert [seen.params["limit"] for seen in api.requests("GET", "assignments")] == ["1"] * 3
    api.quotas.usage = [usage_row(f"user:usr_{number}", number, 5) for number in range(3)]
    rows = list(client.quotas.usage())
    assert [row.bucket for row in rows] == ["user:usr_0", "user:usr_1", "user:usr_2"]
    assert (rows[2].current["concurrent_bunkers"], rows[2].remaining["memory_mb"]) == (2, None)


def test_assignments(api: FakeApi, client: Client) -> None:
    profile = client.quotas.create("team")
    given = client.quotas.assign(
        profile.id, QuotaTargetKind.GROUP, "grp_1", mode=QuotaMode.PER_USER
    )
    sent = {"target_kind": "group", "target_id": "grp_1", "mode": "per_user"}
    assert body_of(api, "POST") == sent
    assert (given.mode, given.profile_id) == (QuotaMode.PER_USER, profile.id)
    client.quotas.assign(profile.id, "user", "usr_1")
    assert body_of(api, "POST") == {"target_kind": "user", "target_id": "usr_1"}
    with pytest.raises(Conflict):
        client.quotas.assign(profile.id, "user", "usr_1", mode="individual")
    assert client.quotas.assignment(profile.id, given.id) == given
    assert client.quotas.unassign(profile.id, given.id) == given
    with pytest.raises(NotFound, match="QUOTA_ASSIGNMENT_NOT_FOUND"):
        client.quotas.unassign(profile.id, given.id)


def test_what_is_made_is_made_once_though_its_answer_is_lost(api: FakeApi, client: Client) -> None:
    def lost(verb: Callable[[], Any]) -> None:
        """The server acts, and then the connection breaks."""

        def act_and_break(seen: Any) -> httpx.Response:
            api.transport.handler(seen)
            raise LOST

        api.transport.faults.append(act_and_break)
        verb()

    lost(lambda: client.quotas.create("small"))
    lost(lambda: client.quotas.assign("qpf_1", "user", "usr_1"))
    lost(lambda: client.quotas.change("qpf_1", max_disk_mb=1))
    assert [profile.max_disk_mb for profile in client.quotas.list()] == [1]
    assert len(list(client.quotas.assignments("qpf_1"))) == 1
    for verb in (
        lambda: client.quotas.unassign("qpf_1", "qas_1"),
        lambda: client.quotas.delete("qpf_1"),
    ):
        with pytest.raises(ConnectionFailed) as caught:
            lost(verb)
        assert caught.value.may_have_run
    assert (api.quotas.profiles, api.quotas.assignments) == ([], [])


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda quotas: quotas.create(""), "name"),
        (lambda quotas: quotas.create("x", max_memory_mb=-1), "max_memory_mb"),
        (lambda quotas: quotas.create("x", max_memory=1), "max_memory"),
        (lambda quotas: quotas.change("qpf_1", tenant_id="ten_2"), "tenant_id"),
        (lambda quotas: quotas.assign("qpf_1", "tenant", "ten_1"), "target_kind"),
        (lambda quotas: quotas.assign("qpf_1", "user", "usr_1", mode="all"), "mode"),
        (lambda quotas: quotas.get("../workers"), "profile id"),
        (lambda quotas: quotas.delete(""), "profile id"),
        (lambda quotas: quotas.unassign("qpf_1", "a/b"), "assignment id"),
    ],
)
def test_what_breaks_a_rule_is_not_sent(
    api: FakeApi, client: Client, call: Callable[[Any], Any], field: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}: "):
        call(client.quotas)
    assert api.transport.seen == []


async def test_the_other_client_does_the_same(api: FakeApi, aclient: AsyncClient) -> None:
    profile = await aclient.quotas.create("team", max_gpu_count=0)
    await aclient.quotas.assign(profile.id, "group", "grp_1")
    assert [each.id async for each in aclient.quotas.list()] == [profile.id]
    assert [each.mode async for each in aclient.quotas.assignments(profile.id)] == ["shared"]
    api.quotas.usage = [usage_row("group:grp_1", 1, None)]
    assert [row.cap["gpu_count"] async for row in aclient.quotas.usage()] == [None]


def test_workers_are_drained_and_resumed(api: FakeApi, client: Client) -> None:
    drained = client.workers.drain("wrk_1")
    assert (drained.draining, drained.takes_bunkers) == (True, False)
    assert client.workers.get("wrk_1") == drained
    assert client.workers.resume("wrk_1").draining is False
    with pytest.raises(NotFound, match="WORKER_NOT_FOUND"):
        client.workers.drain("wrk_9")
    with pytest.raises(InvalidArgument, match=r"^worker id: "):
        client.workers.resume("wrk_1/../x")
