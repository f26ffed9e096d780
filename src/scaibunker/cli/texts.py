"""Text of unknown origin, made fit for a terminal.

Names, reasons and output previews come from bunkers: an escape sequence in them must not be able to
move the cursor, rename the window, or fake a line. A command's own output, streamed by `run` and
`exec`, is passed on untouched, as with `ssh`.
"""

import re
from datetime import UTC, datetime

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile(r"[\n\t]+")


def lines(text: str) -> str:
    """Text that may have several lines; control characters are spelled out."""
    return _CONTROL.sub(_spelled, text)


def cell(value: object) -> str:
    """One line, for a table; nothing at all is a dash."""
    if value is None or value == "":
        return "-"
    return lines(_BREAKS.sub(" ", str(value)))


def age(moment: datetime | None) -> str | None:
    """How long ago, roughly."""
    if moment is None:
        return None
    return _span((datetime.now(UTC) - moment).total_seconds())


def left(moment: datetime | None) -> str | None:
    """How long until then, roughly."""
    return None if moment is None else _span((moment - datetime.now(UTC)).total_seconds())


def size(count: int | None) -> str | None:
    """Bytes for people."""
    if count is None:
        return None
    number = float(count)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def _span(length: float) -> str:
    seconds = max(0, int(length))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
