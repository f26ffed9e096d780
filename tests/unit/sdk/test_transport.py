"""Errors, retries, paging and bounds: what every operation has in common."""

import logging
from typing import Any

import httpx
import pytest

from scaibunker.sdk import (
    AnswerTimedOut,
    ApiError,
    AsyncClient,
    AuthenticationFailed,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidArgument,
    NoSpace,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    ResponseInvalid,
    RetryPolicy,
    ScaiBunkerError,
    Unavailable,
    ValidationFailed,
)
from scaibunker.sdk._sync import transport as transport_module
from tests.unit.sdk.fake_api import IMAGES, FakeApi
from tests.unit.sdk.fake_transport import Pieces, ok, refused

NEVER_SENT = httpx.ConnectError("refused")
MAYBE_SENT = httpx.RemoteProtocolError("Server disconnected without sending a response.")


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (401, "AUTH_TOKEN_MISSING", AuthenticationFailed),
        (403, "AUTHZ_PERMISSION_DENIED", PermissionDenied),
        (404, "BUNKER_NOT_FOUND", NotFound),
        (404, "SOMETHING_NEW_NOT_FOUND", NotFound),
        (409, "NAME_CONFLICT", Conflict),
        (413, "PAYLOAD_TOO_LARGE", PayloadTooLarge),
        (422, "VALIDATION_ERROR", ValidationFailed),
        (429, "RATE_LIMITED", RateLimited),
        (429, "BUNKER_QUOTA_EXCEEDED", QuotaExceeded),
        (500, "INTERNAL_ERROR", Unavailable),
        (502, "WORKER_UNREACHABLE", Unavailable),
        (503, "NO_SUITABLE_WORKER", Unavailable),
        (507, "FILE_NO_SPACE", NoSpace),
        (418, "TEAPOT", ApiError),
    ],
)
def test_errors_become_exceptions(
    api: FakeApi, client: Client, status: int, code: str, family: type[ApiError]
) -> None:
    answer = refused(
        status,
        code,
        "what happened",
        hint="what to do",
        details=[{"field": "name", "message": "taken", "cap": 3}],
    )
    api.transport.faults.extend([lambda _: answer] * 4)
    with pytest.raises(ApiError) as caught:
        client.me()
    error = caught.value
    assert type(error) is family
    assert (error.code, error.status, error.message) == (code, status, "what happened")
    assert (error.hint, error.request_id) == ("what to do", "req_bad")
    assert error.details[0].field == "name"
    assert error.details[0].model_extra == {"cap": 3}


def test_a_proxys_error_page_is_told_as_such(api: FakeApi, client: Client) -> None:
    page = httpx.Response(502, text="<html>", headers={"X-Request-Id": "req_p"})
    api.transport.faults.extend([lambda _: page] * 4)
    with pytest.raises(Unavailable) as caught:
        client.me()
    assert (caught.value.code, caught.value.request_id) == ("HTTP_502", "req_p")
    assert "<html>" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"status": "ok"}),
        httpx.Response(200, text="[" * 100_000),
        ok({"user_id": 7}),
        httpx.Response(302, headers={"Location": "http://elsewhere/"}),
    ],
)
def test_what_does_not_speak_the_api_is_told_as_such(
    api: FakeApi, client: Client, answer: httpx.Response
) -> None:
    api.transport.faults.append(lambda _: answer)
    with pytest.raises(ResponseInvalid):
        client.me()
    assert len(api.transport.seen) == 1  # a redirect is not followed: the key stays here


def test_an_answer_without_end_is_not_kept(
    api: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "MAX_ANSWER_BYTES", 1000)
    endless = Pieces(b"x" * 100 for _ in range(10**9))
    api.transport.faults.append(lambda _: httpx.Response(200, stream=endless))
    with pytest.raises(ResponseInvalid, match="longer than 1000 bytes"):
        client.me()
    assert endless.closed


def test_reads_are_repeated_when_the_connection_fails(api: FakeApi, client: Client) -> None:
    api.transport.faults.extend([NEVER_SENT, MAYBE_SENT, httpx.ReadTimeout("late")])
    assert client.me().user_id == "usr_1"


def test_reads_are_repeated_when_the_answer_breaks(api: FakeApi, client: Client) -> None:
    broken = Pieces([b'{"status"', httpx.ReadError("reset")])
    api.transport.faults.append(lambda _: httpx.Response(200, stream=broken))
    assert client.me().user_id == "usr_1"
    assert broken.closed


def test_attempts_end(api: FakeApi, client: Client) -> None:
    api.transport.faults.extend([NEVER_SENT] * 9)
    with pytest.raises(ConnectionFailed) as caught:
        client.me()
    assert len(api.transport.seen) == 4
    assert not caught.value.may_have_run
    assert "http://localhost" in str(caught.value)


def test_time_outs_are_told_apart(api: FakeApi, client: Client) -> None:
    api.transport.faults.extend([httpx.ReadTimeout("")] * 4)
    with pytest.raises(AnswerTimedOut) as caught:
        client.me()
    assert caught.value.may_have_run


def test_a_command_is_never_sent_twice(api: FakeApi, client: Client) -> None:
    bunker = api.add_bunker()
    for fault in (MAYBE_SENT, httpx.ReadTimeout("late"), httpx.WriteError("reset")):
        api.transport.seen.clear()
        api.transport.faults.append(fault)
        with pytest.raises(ConnectionFailed) as caught:
            client.execs(bunker).run("pay")
        assert caught.value.may_have_run
        assert len(api.transport.seen) == 1


def test_a_command_that_surely_was_not_sent_is(api: FakeApi, client: Client) -> None:
    api.transport.faults.extend([NEVER_SENT, httpx.ConnectTimeout("")])
    assert client.execs(api.add_bunker()).run("pay").ok


def test_a_create_is_repeated_with_the_same_key(api: FakeApi, client: Client) -> None:
    api.transport.faults.append(MAYBE_SENT)
    client.bunkers.create(image="python-3.11")
    sent = api.requests("POST", "/bunkers")
    assert len(sent) == 2
    assert len({request.headers["idempotency-key"] for request in sent}) == 1
    assert sent[0].body == sent[1].body
    client.bunkers.create(image="python-3.11")
    keys = {request.headers["idempotency-key"] for request in api.requests("POST", "/bunkers")}
    assert len(keys) == 2
    assert len(api.bunkers) == 2


def waits(api: FakeApi, policy: RetryPolicy, **answer: Any) -> tuple[list[float], Client]:
    slept: list[float] = []
    client = Client("http://localhost", "sgk_test", retries=policy, http_transport=api.transport)
    client._transport._sleep = slept.append
    api.transport.faults.append(lambda _: refused(**answer))
    return slept, client


def test_retry_after_is_honoured(api: FakeApi) -> None:
    slept, client = waits(
        api, RetryPolicy(), status=429, code="RATE_LIMITED", headers={"Retry-After": "7"}
    )
    assert client.me().user_id == "usr_1"
    assert slept == [7.0]
    slept, client = waits(api, RetryPolicy(), status=503, code="X", retry_after=2.5)
    assert client.me().user_id == "usr_1"
    assert slept == [2.5]


def test_a_retry_after_that_is_too_long_is_the_callers(api: FakeApi) -> None:
    slept, client = waits(api, RetryPolicy(), status=429, code="RATE_LIMITED", retry_after=3600)
    with pytest.raises(RateLimited) as caught:
        client.me()
    assert caught.value.retry_after == 3600
    assert slept == []


def test_retry_after_does_not_repeat_a_command(api: FakeApi) -> None:
    slept, client = waits(api, RetryPolicy(), status=429, code="RATE_LIMITED", retry_after=1)
    with pytest.raises(RateLimited):
        client.execs(api.add_bunker()).run("pay")
    assert slept == []


def test_a_used_up_quota_is_not_asked_again(api: FakeApi) -> None:
    slept, client = waits(
        api, RetryPolicy(), status=429, code="BUNKER_QUOTA_EXCEEDED", retry_after=1
    )
    with pytest.raises(QuotaExceeded):
        client.bunkers.create(image="python-3.11")
    assert slept == []


def test_a_create_that_finds_no_worker_is_not_repeated_blindly(api: FakeApi) -> None:
    slept, client = waits(api, RetryPolicy(), status=503, code="WORKER_UNAVAILABLE")
    with pytest.raises(Unavailable):
        client.bunkers.create(image="python-3.11")
    assert slept == []


def test_waits_double_up_to_a_bound_with_jitter(api: FakeApi) -> None:
    policy = RetryPolicy(attempts=6, base_delay=1, max_delay=4, jitter=lambda: 1.0)
    slept, client = waits(api, policy, status=503, code="X")
    api.transport.faults.extend([NEVER_SENT] * 9)
    with pytest.raises(ConnectionFailed):
        client.me()
    assert slept == [1, 2, 4, 4, 4]
    lowest = RetryPolicy(base_delay=1, jitter=lambda: 0.0)
    assert (
        lowest.delay(
            ConnectionFailed("", may_have_run=False), attempt=1, repeatable=True, reads=True
        )
        == 0.5
    )


def test_pages_are_fetched_as_needed(api: FakeApi, client: Client) -> None:
    images = client.images.list(page_size=2)
    assert next(images).name == "debian-12"
    assert len(api.transport.seen) == 1
    assert [image.name for image in images] == ["python-3.11", "empty"]
    assert [request.params for request in api.transport.seen] == [
        {"limit": "2"},
        {"limit": "2", "cursor": "2"},
    ]


async def test_pages_async(aclient: AsyncClient) -> None:
    assert [image.id async for image in aclient.images.list()] == [row["id"] for row in IMAGES]


@pytest.mark.parametrize("cursor", ["same", None, 7])
def test_a_listing_that_runs_in_circles_ends(api: FakeApi, client: Client, cursor: Any) -> None:
    page = [lambda _: ok(IMAGES[:1], has_more=True, next_cursor=cursor)] * 5
    api.transport.faults.extend(page)
    with pytest.raises(ResponseInvalid, match="repeats itself"):
        list(client.images.list())
    assert len(api.transport.seen) <= 2


@pytest.mark.parametrize("bad", ["", "..", "a/b", "bnk_1?x", "bnk_1#", "x" * 200, "bnk 1"])
def test_ids_cannot_change_the_operation(api: FakeApi, client: Client, bad: str) -> None:
    for operation in (client.bunkers.delete, client.bunkers.get, client.files, client.execs):
        with pytest.raises(InvalidArgument, match="bunker id"):
            operation(bad)
    with pytest.raises(InvalidArgument, match="image id"):
        client.images.get(bad)
    assert api.transport.seen == []


def test_what_every_request_says(api: FakeApi, client: Client) -> None:
    client.me()
    (seen,) = api.transport.seen
    assert seen.headers["authorization"] == "Bearer sgk_test"
    assert seen.headers["user-agent"].startswith("scaibunker-python/")
    assert seen.headers["accept-encoding"] == "identity"
    assert all(seconds is not None for seconds in seen.timeout.values())


def test_the_key_is_in_no_exception_and_no_log(
    api: FakeApi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.transport.faults.extend([NEVER_SENT] * 4)
    with pytest.raises(ScaiBunkerError) as caught:
        client.me()
    error: BaseException | None = caught.value
    while error is not None:
        assert "sgk_test" not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__
    assert "sgk_test" not in caplog.text


def test_proxies_see_nothing_that_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    with Client("http://127.0.0.1:8000", "sgk_test") as here:
        assert not here._transport._http._mounts
    with Client("http://grid.example", "sgk_test") as there:
        assert there._transport._http._mounts
