"""Entries of an allowlist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.wire.hostnames import BadEntry, normalise


@pytest.mark.parametrize(
    ("entry", "form"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com.", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("a-b.1c.example", "a-b.1c.example"),
        ("localhost", "localhost"),
        ("3com.com", "3com.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example.", "*.xn--bcher-kva.example"),
        ("a" * 63 + ".com", "a" * 63 + ".com"),
    ],
)
def test_good_entries_have_one_form(entry: str, form: str) -> None:
    assert normalise(entry) == form
    assert normalise(form) == form


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "   ",
        ".",
        ".example.com",
        "example..com",
        "http://example.com",
        "//example.com",
        "example.com/x",
        "example.com?x",
        "user@example.com",
        "example.com:80",
        "1.2.3.4",
        "1.2.3.4.",
        "0x7f000001",
        "127.1",
        "::1",
        "[::1]",
        "*",
        "*.",
        "**.example.com",
        "*.*.example.com",
        "a.*.com",
        "a*.example.com",
        "*a.example.com",
        "-a.com",
        "a-.com",
        "a_b.com",
        "a b.com",
        " example.com",
        "example.com\n",
        "a\nb.com",
        "example.com\n.evil.com",
        "a\0.com",
        "a" * 64 + ".com",
        ".".join(["a" * 62] * 5),
        "exa\u2024mple.com:80",
        "\u0130.com\ud800",
        "＊.example.com",
    ],
)
def test_bad_entries_are_refused(entry: str) -> None:
    with pytest.raises(BadEntry):
        normalise(entry)


@given(st.text(max_size=80))
def test_what_is_accepted_is_a_plain_host_name(entry: str) -> None:
    try:
        form = normalise(entry)
    except BadEntry:
        return
    assert form.isascii()
    assert form == form.lower()
    name = form.removeprefix("*.")
    assert all(1 <= len(label) <= 63 for label in name.split("."))
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert normalise(form) == form
