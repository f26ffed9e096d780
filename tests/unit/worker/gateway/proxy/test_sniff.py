"""What first bytes are taken for, whole and byte by byte."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.gateway.proxy.refusal import Reason, Refused
from scaibunker.worker.gateway.proxy.sniff import FIRST_LINE, Kind, kind
from tests.unit.worker.gateway.proxy import hellos

HTTP = [
    b"GET / HTTP/1.1\r\n",
    b"GET /\r\n",
    b"get / http/1.0\n",
    b"\r\n\r\nGET / HTTP/1.1\r\n",
    b"  POST /x HTTP/1.1\r\n",
    b"BREW\t/pot HTTP/1.1\r\n",
    b"A" * 4000 + b" / HTTP/1.1\r\n",
    b"GET\x0b/ HTTP/1.1\r\n",
    b"\x0cGET / HTTP/1.1\r\n",
    b"\x1f\x0bFOO / HTTP/1.1\r\n",
    b"FOO http://bad.test/\n",
    b"PROPFIND / ICY/1.0\r\n",
    b"OPTIONS / ICY/1.0\r\n",
    b"CONNECT bad.test:443\r\n",
    b"G@T / HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT bad.test:443 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\n",
    "FOO /\xe9 HTTP/1.1\r\n".encode(),
]
OTHER = [
    b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"PING\r\n",
    b"get key\r\n",
    b"NICK someone\r\n",
    b"EHLO there\r\n",
    b"CONNECT {}\r\n",
    b"CONNECT\naccept-version:1.2\n",
    b"OPTIONS rtsp://good.test/x RTSP/1.0\r\n",
    b"003egit-upload-pack /x\x00host=good.test\x00",
    b"AMQP\x00\x00\x09\x01",
    b"( 2 ( edit-pipeline ) ) ",
    b"<?xml version='1.0'?>",
    b"@RSYNCD: 31.0\n",
    b"8=FIX.4.2\x019=12",
    b"\x00\x00\x00\x54\x00\x03\x00\x00user\x00",
    b"\x10\x0c\x00\x04MQTT",
    b"\x13BitTorrent protocol",
    b"\x30\x0c\x02\x01\x01\x60",
    b"\x16\x20\x00\x00",
    b"\xff\xfd\x18",
    b"\x05\x01\x00",
]
TLS = [
    hellos.named(b"good.test"),
    hellos.real("good.test"),
    b"\x16\x00",
    b"\x16\x0f",
    b"\x14\x03",
    b"\x15\x03",
    b"\x17\x03",
    b"\x18\x03",
]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        *((data, Kind.HTTP) for data in HTTP),
        *((data, Kind.OTHER) for data in OTHER),
        *((data, Kind.TLS) for data in TLS),
        (bytes.fromhex("0000000804d2162f"), Kind.POSTGRES),
    ],
    ids=lambda value: (
        repr(value[:11]) if isinstance(value, bytes) else None
    ),  # what follows is random
)
def test_first_bytes_are_what_they_are(data: bytes, expected: Kind) -> None:
    assert kind(data) is expected
    for end in range(len(data)):
        assert kind(data[:end]) in (None, expected)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Reason.PROXY_HEADER),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11", Reason.PROXY_HEADER),
        (b"\x80\x2e\x01\x00\x02\x00\x15", Reason.TLS_OLD),
        (b"\x80\x2e\x01\x03\x01\x00\x15", Reason.TLS_OLD),
        (b"A" * FIRST_LINE, Reason.UNCLEAR),
        (b"FOO " + b"A" * FIRST_LINE, Reason.UNCLEAR),
        (b"\r\n" * FIRST_LINE, Reason.UNCLEAR),
    ],
)
def test_what_nobody_honest_begins_with_is_refused(data: bytes, expected: Reason) -> None:
    with pytest.raises(Refused) as caught:
        kind(data)
    assert caught.value.reason is expected
    for end in range(min(len(data), 12)):
        with contextlib.suppress(Refused):
            assert kind(data[:end]) is None


WORDS = st.sampled_from([b"GET", b"POST", b"FOO", b"get", b"X" * 100])
BLANKS = st.text(" \t\r\n", max_size=6).map(str.encode)


@settings(deadline=None)
@given(BLANKS, WORDS, st.binary(max_size=40), st.integers(1, 20))
def test_a_request_is_never_taken_for_another_protocol(
    blanks: bytes, word: bytes, target: bytes, step: int
) -> None:
    """However it comes: a decision that was made for a part of it is the one for the whole."""
    target = target.translate(None, b"\x00\n")
    data = blanks + word + b" " + target + b" HTTP/1.1\r\n"
    for end in range(1, len(data) + 1, step):
        if (found := kind(data[:end])) is not None:
            assert found is Kind.HTTP
            return
    assert kind(data) is Kind.HTTP
