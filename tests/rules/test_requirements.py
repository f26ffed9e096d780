"""The lock files hold what is needed on every Python that is supported, not only on the one that made them."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OLDEST = {"python_version": "3.11", "python_full_version": "3.11.0"}
"""What markers are judged by; Debian 12 has 3.11.2."""
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)


def locked(*names: str) -> set[str]:
    texts = ((ROOT / "requirements" / name).read_text() for name in names)
    return {canonicalize_name(pin) for text in texts for pin in _PIN.findall(text)}


def test_what_is_locked_needs_nothing_that_is_not() -> None:
    here = locked("runtime.txt", "dev.txt")
    looked_at, missing = 0, []
    for name in sorted(here):
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            continue  # only what builds us, or for another platform
        looked_at += 1
        for need in map(Requirement, needs):
            wanted = need.marker is None or need.marker.evaluate({**OLDEST, "extra": ""})
            if wanted and canonicalize_name(need.name) not in here:
                missing.append(f"{name} needs {need}")
    assert missing == []
    assert looked_at > 50
