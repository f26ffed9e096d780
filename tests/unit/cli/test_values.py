"""Values as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
import typer

from scaibunker.cli import texts, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1000), ("0.5", 500), ("1500m", 1500), ("2.25", 2250), ("0.001", 1), ("64", 64000)],
)
def test_cores(text: str, expected: int) -> None:
    assert values.millicores(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1k", "-1", "0.0001", "1.5m", "1e3", "9" * 20, "٣"])
def test_bad_cores(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        values.millicores(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512", 512), ("512M", 512), ("512MiB", 512), ("2G", 2048), ("1.5gb", 1536), ("0.5g", 512)],
)
def test_sizes(text: str, expected: int) -> None:
    assert values.mebibytes(text) == expected


@pytest.mark.parametrize("text", ["", "G", "1T", "1.3M", "-1M", "1 000"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        values.mebibytes(text)


def test_moments() -> None:
    assert values.moment("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert values.moment("2026-01-31").tzinfo is not None
    ago = datetime.now(UTC) - values.moment("90m")
    assert timedelta(minutes=89) < ago < timedelta(minutes=91)
    for bad in ("", "soon", "5 m", "3w", "-1h"):
        with pytest.raises(typer.BadParameter):
            values.moment(bad)


def test_environment() -> None:
    given = ["A=", "B=1=2", "HERE"]
    assert values.environment(given, {"HERE": "x=y"}) == {"A": "", "B": "1=2", "HERE": "x=y"}
    for bad in ("=x", "GONE"):
        with pytest.raises(typer.BadParameter):
            values.environment([bad], {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bnk_1:/a", values.Remote("bnk_1", "/a")),
        ("bnk_1:", values.Remote("bnk_1", "/home/bunker/")),
        ("bnk_1:a/b", values.Remote("bnk_1", "/home/bunker/a/b")),
        ("box:a:b", values.Remote("box", "/home/bunker/a:b")),
        ("./a:b", "./a:b"),
        ("/a:b", "/a:b"),
        (":a", ":a"),
        ("a", "a"),
        ("-", "-"),
    ],
)
def test_places(text: str, expected: object) -> None:
    assert values.place(text, "bunker") == expected


def test_texts() -> None:
    assert texts.cell(None) == texts.cell("") == "-"
    assert texts.cell("a\n\tb") == "a b"
    assert texts.cell("\x1b[1m\x9b\u202e") == r"\x1b[1m\x9b\u202e"
    assert texts.lines("a\nb\rc\udcff") == "a\nb\\x0dc\\udcff"
    assert [texts.size(n) for n in (None, 5, 2048, 300 << 20, 5 << 30)] == [
        None,
        "5 B",
        "2 KiB",
        "300 MiB",
        "5.0 GiB",
    ]
    assert texts.age(None) is None
