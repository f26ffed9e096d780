"""Entries of a network allowlist: plain host names and first-level wildcards. Pure rules.

Source: the product contract, §8. An entry is brought into one form (lower case, no trailing dot,
internationalised names in ASCII) or refused with the rule that it breaks.
"""

import re
import unicodedata

import idna

MAX_ENTRIES = 256
MAX_NAME = 253
MAX_WRITTEN = 1024
"""Characters of an entry that are looked at; any name has fewer, however it is written."""
JOINERS = "\u200c\u200d"
_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class BadEntry(ValueError):
    """An entry is not acceptable; the message is the rule it breaks."""


def normalise(entry: str) -> str:
    """The entry in its one form. Raises BadEntry."""
    name = entry
    if not name.strip():
        raise BadEntry("must not be empty")
    if len(name) > MAX_WRITTEN:
        raise BadEntry(f"must have at most {MAX_NAME} characters")
    if any(_is_unseen(character) for character in name):
        raise BadEntry("must not contain white space, control or invisible characters")
    if "://" in name:
        raise BadEntry("must be a host name without a scheme")
    if any(mark in name for mark in "/?#@\\"):
        raise BadEntry("must be a host name without a path")
    if ":" in name or "[" in name:
        raise BadEntry("must be a host name without a port, and no address")
    wildcard = name.startswith("*.")
    bare = name.removeprefix("*.") if wildcard else name
    if "*" in bare:
        raise BadEntry("may have a wildcard only as its whole first label (*.example.com)")
    ascii_name = _to_ascii(bare.lower()).removesuffix(".")  # whichever of the dots it was
    _check(ascii_name)
    whole = f"*.{ascii_name}" if wildcard else ascii_name
    if len(whole) > MAX_NAME:
        raise BadEntry(f"must have at most {MAX_NAME} characters")
    return whole


def _is_unseen(character: str) -> bool:
    """Whether a reader of the entry does not see it: a name must be what it looks like. Joiners decide how some
    scripts are read; where they may stand, IDNA says."""
    return character not in JOINERS and unicodedata.category(character) in _UNSEEN


def _to_ascii(name: str) -> str:
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode().lower()
    except ValueError:  # of which idna's own are
        raise BadEntry("is not a valid internationalised host name") from None


def _check(name: str) -> None:
    labels = name.split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise BadEntry("must have labels of 1 to 63 letters, digits and inner hyphens")
    if _NUMERIC.fullmatch(labels[-1]):
        raise BadEntry("must be a host name, not an address")
