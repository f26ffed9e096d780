"""The decoder: the same events, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.sdk.errors import StreamBroken
from scaibunker.sdk.sse import MAX_EVENT_BYTES, ServerEvent, SseDecoder

STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    b"event: stdout\r\ndata: {\r\ndata: }\r\n\r\n"
    b"data:none\rdata\r\r"
    b"id: 7\nretry: 10\nevent: lonely\n\n"
    b"event: exit\n: in between\ndata:  two spaces \xc3\xa9\n\n"
    b"data: unfinished"
)
EVENTS = [
    ServerEvent("stdout", "{\n}"),
    ServerEvent("message", "none\n"),
    ServerEvent("exit", " two spaces é"),
]


def decoded(pieces: list[bytes]) -> list[ServerEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def test_whole() -> None:
    assert decoded([STREAM]) == EVENTS


def test_byte_by_byte() -> None:
    assert decoded([STREAM[at : at + 1] for at in range(len(STREAM))]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    assert decoded(pieces) == EVENTS


def test_crlf_cut_in_the_middle_is_one_line_end() -> None:
    assert decoded([b"data: a\r", b"", b"\ndata: b\r", b"\n\r", b"\n"]) == [
        ServerEvent("message", "a\nb")
    ]


def test_a_name_is_for_one_event_only() -> None:
    assert decoded([b"event: a\ndata: 1\n\ndata: 2\n\n"]) == [
        ServerEvent("a", "1"),
        ServerEvent("message", "2"),
    ]


def test_a_line_without_end_is_refused() -> None:
    decoder = SseDecoder()
    chunk = b"x" * (MAX_EVENT_BYTES // 4)
    for _ in range(3):
        assert decoder.feed(chunk) == []
    with pytest.raises(StreamBroken, match="more than"):
        decoder.feed(chunk + chunk)


def test_an_event_without_end_is_refused() -> None:
    decoder = SseDecoder()
    chunk = b"data: x\n" * (MAX_EVENT_BYTES // 32)
    for _ in range(3):
        assert decoder.feed(chunk) == []
    with pytest.raises(StreamBroken, match="more than"):
        decoder.feed(chunk + chunk)


def test_comments_do_not_add_up() -> None:
    decoder = SseDecoder()
    chunk = b": keep-alive\n\n" * (MAX_EVENT_BYTES // 28)
    for _ in range(4):
        assert decoder.feed(chunk) == []


def test_long_lines_in_small_chunks_take_linear_time() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: ")
    for _ in range(200_000):
        decoder.feed(b"xxxxxxxx")
    (event,) = decoder.feed(b"\n\n")
    assert len(event.data) == 1_600_000
