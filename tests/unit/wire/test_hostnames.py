"""Entries of an allowlist."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.wire.hostnames import MAX_NAME, BadEntry, normalise


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
        ("bücher。example。", "xn--bcher-kva.example"),
        ("ｅｘａｍｐｌｅ．com", "example.com"),
        ("\u212aey.example", "key.example"),
        ("*.test", "*.test"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("0x7g", "0x7g"),
        (".".join(["a" * 63] * 3 + ["a" * 61]), ".".join(["a" * 63] * 3 + ["a" * 61])),
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
        "example.com..",
        "example.com.。",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.0.0.0x1",
        "１２７.0.0.1",
        "①.①.①.①",
        "::ffff:1.2.3.4",
        "fe80::1%eth0",
        "1.2.3.4/8",
        "example.com%2e",
        "exam\u200bple.com",
        "exam\u00adple.com",
        "exam\u200dple.com",
        "example.com\u00a0",
        "\ufeffexample.com",
        "\u202eelpmaxe.com",
        "example。com/x",
        "example.com\u2044x",
        "example.com\uff0fx",
        "example.com\uff1a80",
        "*\u3002example.com",
        "*.*",
        "*..",
        "*.-a.com",
        "*." + ".".join(["a" * 63] * 3 + ["a" * 60]),
        "ü" * 64 + ".com",
        "ü" * 100_000,
    ],
)
def test_bad_entries_are_refused(entry: str) -> None:
    with pytest.raises(BadEntry):
        normalise(entry)


@given(st.text(max_size=80))
@settings(deadline=None)
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


LABELS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?", fullmatch=True)
TOP = st.from_regex(r"[a-zA-Z][a-zA-Z0-9]{0,10}", fullmatch=True).filter(
    lambda label: not label.lower().startswith("0x")
)


@given(st.lists(LABELS, max_size=5), TOP, st.booleans(), st.booleans())
@settings(deadline=None)
def test_every_plain_host_name_is_accepted_in_lower_case(
    labels: list[str], top: str, wildcard: bool, dot: bool
) -> None:
    name = ".".join([*labels, top])
    entry = f"{'*.' if wildcard else ''}{name}{'.' if dot else ''}"
    assert normalise(entry) == f"{'*.' if wildcard else ''}{name.lower()}"


@given(st.ip_addresses())
@settings(deadline=None)
def test_no_address_is_a_name(address: IPv4Address | IPv6Address) -> None:
    spellings = [str(address), f"{address}."]
    if address.version == 4:
        a, b, c, d = address.packed
        spellings += [
            str(int(address)),
            hex(int(address)),
            f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
            f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
            f"{a}.{(b << 16) | (c << 8) | d}",
            f"{a}.{b}.{(c << 8) | d}",
        ]
    for spelling in spellings:
        with pytest.raises(BadEntry):
            normalise(spelling)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300), TOP)
@settings(deadline=None)
def test_whatever_stands_before_a_name_ends_in_one_form_or_a_rule(text: str, top: str) -> None:
    try:
        form = normalise(f"{text}.{top}")
    except BadEntry:
        return
    assert len(form) <= MAX_NAME
    assert normalise(form.upper()) == form
