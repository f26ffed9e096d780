"""What may pass of a TLS connection, and when."""

import pytest

from scaibunker.worker.gateway.proxy.refusal import Reason, Refused
from scaibunker.worker.gateway.proxy.tls import TlsReader
from tests.unit.worker.gateway.proxy import hellos

GOOD = hellos.named(b"good.test")
FINISHED = hellos.record(b"finished", 23, b"\x03\x03")


def reader() -> TlsReader:
    return TlsReader(lambda name: name == "good.test", 64 * 1024)


def reason(reading: TlsReader, data: bytes) -> Reason:
    with pytest.raises(Refused) as caught:
        reading.client(data)
    return caught.value.reason


def test_a_permitted_name_passes_and_nothing_after_it_until_the_server_has_answered() -> None:
    tls = reader()
    assert tls.client(GOOD[:20]) == b""
    assert tls.incomplete
    assert tls.client(GOOD[20:] + FINISHED) == GOOD
    assert tls.waiting
    assert not tls.incomplete
    assert tls.client(b"more") == b""
    tls.server(hellos.record(hellos.server_hello()))
    assert not tls.waiting
    assert tls.client(b"") == FINISHED + b"more"
    assert tls.free > 1 << 60
    assert tls.name == "good.test"


@pytest.mark.parametrize("name", [b"GOOD.test", b"good.TEST."])
def test_case_and_a_final_dot_do_not_matter(name: bytes) -> None:
    tls = reader()
    tls.client(hellos.named(name))
    assert tls.name == "good.test"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (hellos.named(b"bad.test"), Reason.TLS_NAME),
        (hellos.named(b"192.0.2.1"), Reason.TLS_NAME),
        (hellos.named(b"good.test\x00.bad.test"), Reason.TLS_NAME),
        (hellos.named(b"good.test.."), Reason.TLS_NAME),
        (hellos.record(hellos.message(hellos.body())), Reason.TLS_NO_NAME),
        (hellos.named(b"good.test", (0xFE0D, bytes(60))), Reason.TLS_HIDDEN),
    ],
)
def test_others_are_refused(data: bytes, expected: Reason) -> None:
    assert reason(reader(), data) is expected


def asked_again(early: bytes = b"") -> TlsReader:
    tls = reader()
    assert tls.client(GOOD + early) == GOOD
    tls.server(hellos.record(hellos.server_hello(hellos.RETRY)))
    assert not tls.waiting
    return tls


def test_a_second_hello_that_the_server_asks_for_is_judged_too() -> None:
    assert reason(asked_again(), hellos.named(b"bad.test")) in (
        Reason.TLS_CHANGED,
        Reason.TLS_NAME,
    )
    change = hellos.record(b"\x01", 20, b"\x03\x03")
    assert asked_again().client(change + GOOD + FINISHED) == change + GOOD + FINISHED


def test_a_second_hello_in_pieces_or_sent_before_it_is_asked_for_is_judged_too() -> None:
    other = hellos.records(hellos.message(hellos.body((0, hellos.server_names(b"bad.test")))), 1)
    tls = asked_again()
    for at in range(len(other) - 1):
        assert tls.client(other[at : at + 1]) == b""
    assert reason(tls, other[-1:]) is Reason.TLS_CHANGED
    early = asked_again(hellos.record(b"\x01", 20) + hellos.named(b"bad.test"))
    assert reason(early, b"") is Reason.TLS_CHANGED


def test_early_data_before_a_second_hello_is_the_servers_to_skip() -> None:
    early = hellos.record(b"early", 23, b"\x03\x03")
    tls = asked_again(early)
    assert tls.client(b"") == b""
    assert tls.client(GOOD) == early + GOOD


@pytest.mark.parametrize("size", [1, 3, 40, 500])
def test_the_servers_answer_is_understood_however_it_is_cut(size: int) -> None:
    for random, retry in ((hellos.RETRY, True), (bytes(32), False)):
        tls = reader()
        tls.client(GOOD)
        answer = hellos.records(hellos.server_hello(random), size)
        for at in range(0, len(answer), 7):
            tls.server(answer[at : at + 7])
        assert not tls.waiting
        assert (tls.free == 0) is retry


def test_an_alert_of_the_server_ends_the_waiting() -> None:
    tls = reader()
    tls.client(GOOD)
    tls.server(b"\x15")
    assert tls.waiting
    tls.server(b"\x03\x03\x00\x02\x02\x28")
    assert not tls.waiting


def test_a_warning_before_the_servers_answer_is_no_answer() -> None:
    """`unrecognized_name` may be one: what follows can be a wish for another hello all the same."""
    warning = hellos.record(b"\x01\x70", 21, b"\x03\x03")
    tls = reader()
    tls.client(GOOD)
    tls.server(warning)
    assert tls.waiting
    tls.server(hellos.record(hellos.server_hello(hellos.RETRY)))
    assert reason(tls, hellos.named(b"bad.test")) is Reason.TLS_CHANGED


@pytest.mark.parametrize("record", [hellos.record(b""), hellos.record(b"\x01\x70", 21)])
def test_what_a_server_can_repeat_for_ever_is_not_read_for_ever(record: bytes) -> None:
    tls = reader()
    tls.client(GOOD)
    tls.server(record * 100)
    assert not tls.waiting


def test_an_end_in_the_middle_of_a_hello_is_refused() -> None:
    tls = reader()
    tls.client(GOOD[:30])
    with pytest.raises(Refused):
        tls.client_end()
