"""Output as text where it is text, and never a byte lost."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from scaibunker.controller.relay.text import Piece, TextStream, decode_head, encode_pair, preview


def back(pieces: list[Piece | None]) -> bytes:
    return b"".join(
        piece.data.encode() if piece.encoding == "utf-8" else base64.b64decode(piece.data)
        for piece in pieces
        if piece is not None
    )


@given(st.lists(st.binary(max_size=8)))
def test_a_stream_arrives_as_it_was_sent(chunks: list[bytes]) -> None:
    stream = TextStream()
    pieces = [stream.feed(chunk) for chunk in chunks]
    assert back([*pieces, stream.end()]) == b"".join(chunks)


@given(st.text(), st.integers(min_value=1, max_value=5))
def test_text_is_never_called_anything_else_however_it_is_cut(text: str, size: int) -> None:
    raw = text.encode()
    stream = TextStream()
    pieces = [stream.feed(raw[i : i + size]) for i in range(0, len(raw), size)]
    assert stream.end() is None
    assert all(piece is None or piece.encoding == "utf-8" for piece in pieces)
    assert "".join(piece.data for piece in pieces if piece) == text


def test_after_bytes_that_are_no_text_text_is_text_again() -> None:
    stream = TextStream()
    assert stream.feed(b"\xff\xfe") == Piece("//4=", "base64")
    assert stream.feed("ä".encode()) == Piece("ä", "utf-8")


def test_a_character_whose_rest_never_comes_is_given_as_bytes() -> None:
    stream = TextStream()
    assert stream.feed(b"\xe2\x82") is None
    assert stream.end() == Piece("4oI=", "base64")


@given(st.binary(), st.binary())
def test_both_streams_share_an_encoding_and_lose_nothing(out: bytes, err: bytes) -> None:
    stdout, stderr, encoding = encode_pair(out, err, stdout_truncated=False, stderr_truncated=False)
    if encoding == "utf-8":
        assert (stdout.encode(), stderr.encode()) == (out, err)
    else:
        assert (base64.b64decode(stdout), base64.b64decode(stderr)) == (out, err)


@given(st.text(min_size=1), st.data())
def test_a_head_is_cut_between_characters(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cut = data.draw(st.integers(min_value=0, max_value=len(raw)))
    head = decode_head(raw[:cut], truncated=True)
    assert head is not None
    assert text.startswith(head)
    assert cut - len(head.encode()) < 4


def test_an_incomplete_end_is_binary_if_nothing_was_cut() -> None:
    assert decode_head(b"a\xc3", truncated=False) is None
    assert decode_head(b"a\xc3", truncated=True) == "a"
    assert decode_head(b"\xffa", truncated=True) is None


def test_a_preview_is_readable_whatever_it_shows() -> None:
    assert preview(b"out\n", b"err\n", 1024) == "out\nerr\n"
    assert preview(b"\xff" * 2000, b"", 1024) == "\ufffd" * 1024
