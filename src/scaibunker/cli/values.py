"""Values as people write them on a command line, turned into what the API takes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

import typer

User = Literal["bunker", "root"]
_NUMBER = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([A-Za-z]*)")
_COUNT = re.compile(r"[0-9]{1,9}")
_MIB = {"": 1, "m": 1, "mb": 1, "mib": 1, "g": 1024, "gb": 1024, "gib": 1024}
_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
INTERFACE_FORM = "if=NAME,bridge=BRIDGE[,mac=MAC][,spoof-guard=off]"
HOMES = {"bunker": "/home/bunker", "root": "/root"}


def millicores(text: str) -> int:
    """Thousandths of a core from `0.5`, `2` or `1500m`."""
    number, unit = _split(text, "cores as 0.5, 2 or 1500m")
    if unit not in ("", "m"):
        raise typer.BadParameter(f"cores as 0.5, 2 or 1500m, not {text!r}")
    return _whole(number if unit else number * 1000, text, "a thousandth of a core")


def mebibytes(text: str) -> int:
    """MiB from `512`, `512M` or `2G`."""
    number, unit = _split(text, "a size as 512M or 2G")
    factor = _MIB.get(unit.lower())
    if factor is None:
        raise typer.BadParameter(f"a size as 512M or 2G, not {text!r}")
    return _whole(number * factor, text, "a MiB")


def count(text: str) -> int:
    """A number of things."""
    if not _COUNT.fullmatch(text):
        raise typer.BadParameter(f"a whole number, not {text!r}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Cap:
    """What was said of a cap: so much at most, or None for no cap."""

    most: int | None


def cap(amount: Callable[[str], int]) -> Callable[[str], Cap]:
    """Reads a cap: an amount, or `none`."""

    def parse(text: str) -> Cap:
        return Cap(None if text == "none" else amount(text))

    return parse


def moment(text: str) -> datetime:
    """A time from `2026-01-31`, `2026-01-31T12:00:00Z`, or from `90m`, `24h`, `7d`: so long ago."""
    ago = _SPAN.fullmatch(text)
    if ago is not None:
        return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"a time as 2026-01-31T12:00:00Z, or 24h for so long ago, not {text!r}"
        ) from None
    return found if found.tzinfo else found.astimezone()


def seconds(text: str) -> int:
    """Seconds from `3600`, `90m`, `24h` or `7d`."""
    if _COUNT.fullmatch(text):
        return int(text)
    span = _SPAN.fullmatch(text)
    if span is None:
        raise typer.BadParameter(f"a time as 3600, 90m, 24h or 7d, not {text!r}")
    return int(span[1]) * _SECONDS[span[2]]


def user(text: str) -> User:
    """`bunker` or `root`."""
    if text not in HOMES:
        raise typer.BadParameter(f"bunker or root, not {text!r}")
    return "root" if text == "root" else "bunker"


def absolute(text: str) -> str:
    """An absolute path."""
    if not text.startswith("/"):
        raise typer.BadParameter(f"an absolute path, not {text!r}")
    return text


def assignments(what: str, given: Sequence[str] | None) -> dict[str, str]:
    """A map from `K=V` texts."""
    found = {}
    for text in given or ():
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise typer.BadParameter(f"{what} as KEY=VALUE, not {text!r}")
        found[key] = value
    return found


def environment(given: Sequence[str] | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables from `K=V` texts; `K` alone is taken from our own environment.

    A value that is not shown on the command line is one that other users cannot see.
    """
    texts = []
    for text in given or ():
        if "=" not in text:
            if text not in environ:
                raise typer.BadParameter(f"--env {text}: there is no such variable here")
            text = f"{text}={environ[text]}"
        texts.append(text)
    return assignments("--env", texts)


@dataclass(frozen=True, slots=True)
class Remote:
    """A path in a bunker."""

    bunker: str
    path: str


def place(text: str, user: User) -> Remote | str:
    """A `BUNKER:PATH`, or a local path: one without a colon, or with a slash before it.

    A relative path in a bunker begins at the user's home.
    """
    bunker, colon, path = text.partition(":")
    if not colon or "/" in bunker or not bunker:
        return text
    return Remote(bunker, path if path.startswith("/") else f"{HOMES[user]}/{path}")


def _split(text: str, form: str) -> tuple[Decimal, str]:
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{form}, not {text!r}")
    return Decimal(match[1]), match[2]


def _whole(number: Decimal, text: str, grain: str) -> int:
    if number != int(number):
        raise typer.BadParameter(f"{text!r} is not a multiple of {grain}")
    return int(number)
