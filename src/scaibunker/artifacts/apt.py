"""Ask the host's apt: where its Debian packages come from, and for one package file.

Packages are checked by apt against the archive's signatures. Nothing is installed on the host.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from scaibunker.artifacts.commands import CommandError, need, run
from scaibunker.artifacts.records import ArtifactsError

_QUERY_TIMEOUT_S = 60
_NETWORK_TIMEOUT_S = 900
_RETRIES = ("-o", "Acquire::Retries=3")
# apt's own user could not write into our scratch directory.
_AS_US = ("-o", "APT::Sandbox::User=root")


class Apt:
    """The host's apt. The package lists are updated at most once, and only if they do not serve."""

    def __init__(self) -> None:
        self._updating = Lock()
        self._updated = False

    def download(self, metapackage: str, pattern: str, into: Path) -> Path:
        """Download the package that `metapackage` depends on and whose name matches `pattern`."""
        try:
            return _download(metapackage, pattern, into)
        except CommandError:
            if not self._update():
                raise
            return _download(metapackage, pattern, into)

    def debian_sources(self, suite: str) -> Sequence[str]:
        """Return one-line sources for Debian's `suite` as the host has them; empty if it has none.

        Credentials in an address are dropped: the lines are passed on a command line.
        """
        return _sources(suite) or (_sources(suite) if self._update() else ())

    def _update(self) -> bool:
        """Fetch the package lists, which takes root. Tells whether they are newer than before."""
        with self._updating:
            if not self._updated and os.geteuid() == 0:
                run([_apt_get(), *_RETRIES, "-q", "update"], timeout_s=_NETWORK_TIMEOUT_S)
                self._updated = True
            return self._updated


def _download(metapackage: str, pattern: str, into: Path) -> Path:
    depends = run(
        [need("apt-cache", "apt"), "depends", "--important", metapackage],
        timeout_s=_QUERY_TIMEOUT_S,
    )
    match = re.search(rf"^\s+Depends: ({pattern})$", depends, re.MULTILINE)
    if match is None:
        msg = f"apt knows no package {metapackage}: run `apt-get update` as root, or use Debian 12"
        raise CommandError(msg)
    run(
        [_apt_get(), *_RETRIES, *_AS_US, "-q", "download", match[1]],
        timeout_s=_NETWORK_TIMEOUT_S,
        cwd=into,
    )
    packages = list(into.glob("*.deb"))
    if len(packages) != 1:
        msg = f"apt-get download {match[1]} gave {len(packages)} files"
        raise ArtifactsError(msg)
    return packages[0]


def _sources(suite: str) -> Sequence[str]:
    fields = "$(ORIGIN)|$(CODENAME)|$(SITE)|$(RELEASE)|$(COMPONENT)"
    listing = run(
        [_apt_get(), "indextargets", "--format", fields, "Created-By: Packages"],
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


def _apt_get() -> str:
    return need("apt-get", "apt")
