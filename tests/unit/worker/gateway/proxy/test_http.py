"""What may pass of an HTTP/1 connection: every request of it is judged."""

import contextlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.gateway.proxy.http import HttpReader
from scaibunker.worker.gateway.proxy.refusal import Manner, Reason, Refused
from tests.unit.worker.gateway.proxy.requests import BAD, ELSEWHERE, GET, GOOD, POST, WEBSOCKET

PERMITTED = ("good.test", "also.test")


def reader(limit: int = 64 * 1024) -> HttpReader:
    return HttpReader(lambda name: name in PERMITTED, limit)


def feed(http: HttpReader, parts: Iterable[bytes]) -> bytes:
    return b"".join([http.client(part) for part in parts])


def reason(*parts: bytes, reading: HttpReader | None = None) -> Reason:
    http = reading or reader()
    with pytest.raises(Refused) as caught:
        feed(http, parts)
    assert caught.value.manner is Manner.HTTP
    assert caught.value.answer().startswith(b"HTTP/1.1 4")
    return caught.value.reason


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD.keys())
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_good_ones_pass_as_they_are(data: bytes, step: int) -> None:
    http = reader()
    passed = b"".join(http.client(data[i : i + step]) for i in range(0, len(data), step))
    assert passed == data
    assert http.name == "good.test"
    assert not http.incomplete
    http.client_end()


@pytest.mark.parametrize(("data", "expected"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("step", [1, 13, 100_000])
def test_bad_ones_are_refused(data: bytes, expected: Reason, step: int) -> None:
    assert reason(*(data[i : i + step] for i in range(0, len(data), step))) is expected


def test_a_head_that_does_not_end_is_refused_at_the_limit() -> None:
    http = reader(4096)
    http.client(GET[:-2])
    with pytest.raises(Refused) as caught:
        feed(http, [b"X: y\r\n"] * 4096)
    assert caught.value.reason is Reason.HTTP_LONG


def test_a_body_may_pass_unread_to_its_end_and_no_further() -> None:
    http = reader()
    http.client(POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 10)
    assert http.free == 990
    http.free = 0
    assert reason(ELSEWHERE, reading=http) is Reason.HTTP_HOST


def answered(*answers: bytes) -> HttpReader:
    http = reader()
    assert http.client(WEBSOCKET + ELSEWHERE) == WEBSOCKET
    assert http.waiting
    for answer in answers:
        http.server(answer)
    return http


def test_a_websocket_passes_unread_once_the_server_has_agreed() -> None:
    http = answered(b"HTTP/1.1 101 Switching", b" Protocols\r\nUpgrade: websocket\r\n\r", b"\n..")
    assert not http.waiting
    assert http.client(b"") == ELSEWHERE
    assert http.free > 1 << 60


def test_hints_of_a_server_are_no_answer() -> None:
    http = answered(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n")
    assert http.waiting
    http.server(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert http.client(b"") == ELSEWHERE


def test_hints_without_end_are_not_listened_to() -> None:
    http = answered(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
    assert not http.waiting
    assert http.free == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: 101\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"nothing of the kind\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_a_server_that_does_not_agree_is_asked_like_any_other(answer: bytes) -> None:
    http = answered(answer)
    assert not http.waiting
    assert reason(b"", reading=http) is Reason.HTTP_HOST


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.integers(1, 50))
def test_anything_is_passed_as_it_is_or_refused(garbage: bytes, step: int) -> None:
    data = GET + garbage
    http, passed = reader(), b""
    try:
        for i in range(0, len(data), step):
            passed += http.client(data[i : i + step])
    except Refused:
        pass
    assert data.startswith(passed)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_mutation_of_a_good_request_passes_for_another_host(data: st.DataObject) -> None:
    raw = bytearray(POST + b"Content-Length: 4\r\n\r\nbody" + ELSEWHERE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(POST) + 20))
        raw[at : at + 1] = data.draw(st.binary(max_size=2))
    http = reader()
    with contextlib.suppress(Refused):
        http.client(bytes(raw))
        assert http.incomplete or http.free  # all was taken for parts of the first one
