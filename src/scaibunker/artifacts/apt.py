"""Ask the host's apt where its Debian packages come from, so that ours come from there too."""

import os
import re
from collections.abc import Sequence
from shutil import which
from threading import Lock

from scaibunker.artifacts.commands import CommandError, run

_QUERY_TIMEOUT_S = 60
_UPDATE_TIMEOUT_S = 900
_FIELDS = "$(ORIGIN)|$(CODENAME)|$(SITE)|$(RELEASE)|$(COMPONENT)"


class Apt:
    """The host's apt, if it has one. Its package lists are updated at most once, if they must be."""

    def __init__(self) -> None:
        self._asking = Lock()
        self._updated = False

    def debian_sources(self, suite: str) -> Sequence[str]:
        """Return one-line sources for Debian's `suite` as the host has them; empty if it has none.

        Credentials in an address are dropped: the lines are passed on a command line.
        """
        with self._asking:
            if which("apt-get") is None:
                return ()
            return _sources(suite) or (_sources(suite) if self._update() else ())

    def _update(self) -> bool:
        """Fetch the lists, which takes root; without them apt does not know whose archive is whose."""
        if self._updated or os.geteuid() != 0:
            return False
        self._updated = True
        try:
            run(["apt-get", "-q", "update"], timeout_s=_UPDATE_TIMEOUT_S)
        except CommandError:
            return False  # a host without Debian's archive may still reach it by its public name
        return True


def _sources(suite: str) -> Sequence[str]:
    listing = run(
        ["apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"],
        timeout_s=_QUERY_TIMEOUT_S,
    )
    return parse_index_targets(suite, listing)


def parse_index_targets(suite: str, listing: str) -> Sequence[str]:
    """Return the sources of `suite` in apt's `origin|codename|site|release|component` lines."""
    components: dict[tuple[str, str], list[str]] = {}
    for line in listing.splitlines():
        origin, codename, site, release, component = line.split("|", 4)
        is_suite = codename in {suite, f"{suite}-updates", f"{suite}-security"}
        if origin == "Debian" and is_suite and re.match(r"https?://", site):
            bare = re.sub(r"//[^/@]*@", "//", site)
            components.setdefault((bare, release), []).append(component)
    return [
        f"deb {site} {release} {' '.join(dict.fromkeys(names))}"
        for (site, release), names in components.items()
    ]
