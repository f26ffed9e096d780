"""Bunkers: created once, waited for, never left behind."""

import asyncio
import json
import logging

import httpx
import pytest

from scaibunker.sdk import (
    ApiKey,
    AsyncClient,
    Bunker,
    BunkerFailed,
    BunkerStatus,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidArgument,
    NotFound,
    StreamBroken,
    Timeouts,
    WaitTimedOut,
)
from tests.unit.sdk.fake_api import BASE, NOW, FakeApi, bunker_events
from tests.unit.sdk.fake_transport import Seen, always, ok, refused, streamed


def test_create_sends_what_is_given_and_nothing_else(api: FakeApi, client: Client) -> None:
    bunker = client.bunkers.create(image="python-3.11", memory_mb=256, label_set={"a": "b"})
    assert bunker.status is BunkerStatus.PENDING
    (seen,) = api.requests("POST")
    assert seen.path == f"{BASE}/bunkers"
    assert json.loads(seen.body) == {
        "image": "python-3.11",
        "memory_mb": 256,
        "label_set": {"a": "b"},
    }


def test_create_and_wait(api: FakeApi, client: Client) -> None:
    api.boot_looks = 2
    assert client.bunkers.create(image="python-3.11", wait=True).status is BunkerStatus.RUNNING


def test_create_and_wait_for_one_that_fails(api: FakeApi, client: Client) -> None:
    api.final_status = "failed"
    with pytest.raises(BunkerFailed, match="bunker bnk_1 is failed: the image is broken"):
        client.bunkers.create(image="python-3.11", wait=True)
    assert not api.requests("DELETE")


def test_create_and_wait_in_vain_leaves_nothing(api: FakeApi, client: Client) -> None:
    api.boot_looks = 99
    with pytest.raises(WaitTimedOut, match="pending after 0 s"):
        client.bunkers.create(image="python-3.11", wait=True, wait_timeout=0)
    assert api.bunkers["bnk_1"]["status"] == "terminated"


def interrupt_after(api: FakeApi, error: BaseException) -> None:
    """The server does its work; the caller is interrupted before it hears of it."""

    def make(seen: Seen) -> httpx.Response:
        api.transport.handler(seen)
        raise error

    api.transport.faults.append(make)


def test_an_interrupted_create_leaves_nothing(api: FakeApi, client: Client) -> None:
    interrupt_after(api, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        client.bunkers.create(image="python-3.11")
    assert [row["status"] for row in api.bunkers.values()] == ["terminated"]


async def test_a_cancelled_create_leaves_nothing(api: FakeApi, aclient: AsyncClient) -> None:
    interrupt_after(api, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await aclient.bunkers.create(image="python-3.11")
    assert [row["status"] for row in api.bunkers.values()] == ["terminated"]


def test_an_interrupted_wait_leaves_nothing(api: FakeApi, client: Client) -> None:
    def then_interrupt(seen: Seen) -> httpx.Response:
        api.transport.faults.append(KeyboardInterrupt())
        return api.transport.handler(seen)

    api.transport.faults.append(then_interrupt)
    with pytest.raises(KeyboardInterrupt):
        client.bunkers.create(image="python-3.11", wait=True)
    assert api.bunkers["bnk_1"]["status"] == "terminated"


def test_an_interrupted_create_whose_clean_up_fails_says_so(
    api: FakeApi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt_after(api, KeyboardInterrupt())
    api.transport.faults.extend([httpx.ConnectError("gone")] * 4)
    with pytest.raises(KeyboardInterrupt):
        client.bunkers.create(image="python-3.11")
    assert "a bunker may have been created" in caplog.text


def test_a_refused_create_is_not_cleaned_up(api: FakeApi, client: Client) -> None:
    with pytest.raises(NotFound, match="IMAGE_NOT_FOUND"):
        client.bunkers.create(image="nosuch")
    assert len(api.transport.seen) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "image"),
        ({"image": "a", "snapshot_id": "snp_1"}, "image"),
        ({"image": "a", "memory_mb": 1}, "memory_mb"),
        ({"image": "a", "env_vars": {"A": "secret\0"}}, "env_vars.A"),
        ({"image": "a", "network_profile": "everything"}, "network_profile"),
        ({"image": "a", "nonsense": 1}, "nonsense"),
    ],
)
def test_bad_options_are_named_and_never_shown(
    api: FakeApi, client: Client, options: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named) as caught:
        client.bunkers.create(**options)  # type: ignore[arg-type]
    assert "secret" not in f"{caught.value} {caught.value.details}"
    assert api.transport.seen == []


def test_with_terminates(api: FakeApi, client: Client) -> None:
    with client.bunkers.create(image="python-3.11", wait=True) as bunker:
        assert bunker.exec("echo hi").ok
    assert api.bunkers["bnk_1"]["status"] == "terminated"
    assert bunker.status is BunkerStatus.TERMINATED


def test_with_terminates_after_an_error_and_shows_that_error(
    api: FakeApi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> None:
        with client.bunkers.create(image="python-3.11", wait=True):
            api.transport.faults.extend([httpx.ConnectError("gone")] * 4)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert "bnk_1 may still exist" in caplog.text


def test_with_shows_that_it_could_not_terminate(api: FakeApi, client: Client) -> None:
    with (
        pytest.raises(ConnectionFailed),
        client.bunkers.create(image="python-3.11", wait=True),
    ):
        api.transport.faults.extend([httpx.ConnectError("gone")] * 4)


def test_with_does_not_mind_one_that_is_gone(api: FakeApi, client: Client) -> None:
    with client.bunkers.create(image="python-3.11", wait=True):
        api.bunkers.clear()


def test_list_get_and_verbs(api: FakeApi, client: Client) -> None:
    for number in range(5):
        api.add_bunker(f"bnk_{number}", "running" if number else "terminated")
    found = list(client.bunkers.list(status="running", label="a=b", lifecycle="ephemeral"))
    assert [bunker.id for bunker in found] == ["bnk_1", "bnk_2", "bnk_3", "bnk_4"]
    assert all(isinstance(bunker, Bunker) for bunker in found)
    assert api.transport.seen[0].params == {
        "status": "running",
        "label": "a=b",
        "lifecycle": "ephemeral",
    }
    bunker = client.bunkers.get("bnk_1")
    bunker.pause()
    assert bunker.status.value == "paused"
    with pytest.raises(Conflict, match="BUNKER_INVALID_TRANSITION"):
        client.bunkers.pause("bnk_1")
    bunker.resume()
    bunker.keepalive()
    assert bunker.status.value == "running"
    api.bunkers["bnk_1"]["status"] = "failed"
    assert bunker.refresh().status is BunkerStatus.FAILED
    assert client.bunkers.delete("bnk_2").status is BunkerStatus.TERMINATED


def test_several_labels(api: FakeApi, client: Client) -> None:
    list(client.bunkers.list(label=["a=b", "c"]))
    assert api.transport.seen[0].query == [("label", "a=b"), ("label", "c")]


def test_wait_until_another_state(api: FakeApi, client: Client) -> None:
    bunker = client.bunkers.get(api.add_bunker(status="terminated"))
    bunker.wait_until("terminated", timeout=0)
    with pytest.raises(BunkerFailed, match="is terminated"):
        bunker.wait_until("running", timeout=60)
    with pytest.raises(ValueError, match="nonsense"):
        bunker.wait_until("nonsense")


def test_events(api: FakeApi, client: Client) -> None:
    with client.bunkers.events(api.add_bunker()) as events:
        assert [event.status for event in events] == ["running", "terminated"]


def test_streams_of_events_wait_for_signs_of_life_whatever_the_time_outs(api: FakeApi) -> None:
    bunker_id = api.add_bunker()
    timeouts = Timeouts(read=5)
    with Client(
        "http://localhost", "sgk_test", timeouts=timeouts, http_transport=api.transport
    ) as client:
        with client.bunkers.events(bunker_id), client.execs(bunker_id).stream("a"):
            pass
        with client.execs(bunker_id).start("a").events() as events:
            list(events)
    streams = [seen for seen in api.transport.seen if seen.timeout["read"] != 5]
    assert len(streams) == 3
    assert {seen.timeout["read"] for seen in streams} == {60}
    assert {seen.headers["accept"] for seen in streams} == {"text/event-stream"}


def test_events_that_break_off(api: FakeApi, client: Client) -> None:
    first, *_ = bunker_events("bnk_1", ["running"])
    unknown = b'event: weather\ndata: {"sun": true}\n\n'
    api.transport.faults.append(lambda _: streamed([unknown, first]))
    with client.bunkers.events(api.add_bunker()) as events:
        assert next(events).status == "running"
        with pytest.raises(StreamBroken):
            next(events)


def test_environment_values_are_in_no_representation(api: FakeApi, client: Client) -> None:
    bunker = client.bunkers.create(image="python-3.11", env_vars={"TOKEN": "hush"})
    assert bunker.record.env_vars == {"TOKEN": "hush"}
    assert "hush" not in f"{bunker!r} {bunker.record!r} {bunker.record}"


def test_api_keys(api: FakeApi, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    row = {
        "id": "key_1",
        "name": "ci",
        "prefix": "sgk_abcd",
        "user_id": "usr_1",
        "created_at": NOW,
        "expires_at": None,
        "revoked_at": None,
    }
    answers = [
        ok({**row, "key": "sgk_abcdefgh"}, 201),
        ok([row], has_more=False, next_cursor=None),
        httpx.Response(204),
    ]
    api.transport.faults.extend([always(answer) for answer in answers])
    created = client.api_keys.create("ci")
    assert created.key == "sgk_abcdefgh"
    assert "sgk_abcdefgh" not in f"{created!r} {created} {caplog.text}"
    assert [type(key) for key in client.api_keys.list()] == [ApiKey]
    client.api_keys.revoke("key_1")
    assert [(s.method, s.path) for s in api.transport.seen] == [
        ("POST", "/v1/api-keys"),
        ("GET", "/v1/api-keys"),
        ("DELETE", "/v1/api-keys/key_1"),
    ]
    # A key that is made twice because its answer was lost would be one that nobody knows.
    api.transport.faults.append(httpx.ReadError("reset"))
    with pytest.raises(ConnectionFailed):
        client.api_keys.create("ci")


def test_images_and_workers(api: FakeApi, client: Client) -> None:
    assert client.images.get("img_2").name == "python-3.11"
    assert client.workers.get("wrk_1").acceleration == "tcg"
    assert [worker.bunkers for worker in client.workers.list()] == [1]
    with pytest.raises(NotFound, match="IMAGE_NOT_FOUND"):
        client.images.get("img_9")


async def test_async_with(api: FakeApi, aclient: AsyncClient) -> None:
    async with aclient, await aclient.bunkers.create(image="python-3.11", wait=True) as bunker:
        await bunker.pause()
        await bunker.resume()
        assert (await bunker.exec(["true"])).ok
        assert [found.id async for found in aclient.bunkers.list()] == [bunker.id]
    assert api.bunkers["bnk_1"]["status"] == "terminated"


def test_quota_details_are_kept(api: FakeApi, client: Client) -> None:
    detail = {"field": "max_memory_mb", "current": 512, "requested": 512, "cap": 600}
    api.transport.faults.append(
        lambda _: refused(429, "BUNKER_QUOTA_EXCEEDED", "full", details=[detail])
    )
    with pytest.raises(Exception, match="BUNKER_QUOTA_EXCEEDED") as caught:
        client.bunkers.create(image="python-3.11")
    assert caught.value.details[0].model_extra == {"current": 512, "requested": 512, "cap": 600}  # type: ignore[attr-defined]
