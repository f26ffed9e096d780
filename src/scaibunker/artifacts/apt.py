"""Ask the host's apt: where its Debian packages come from, and for one package file.

Packages are checked by apt against the archive's signatures. Nothing is installed on the host.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from scaibunker.artifacts.commands import CommandError, need, run
from scaibunker.artifacts.records import ArtifactsError

_QUERY_TIMEOUT_S = 60
_NETWORK_TIMEOUT_S = 900
_RETRIES = ("-o", "Acquire::Retries=3")
# apt's own user could not write into our scratch directory.
_AS_US = ("-o", "APT::Sandbox::User=root")


def download(metapackage: str, pattern: str, into: Path) -> Path:
    """Download the package that `metapackage` depends on and whose name matches `pattern`.

    If the package lists are missing or out of date they are updated, which takes root.
    """
    try:
        return _download(metapackage, pattern, into)
    except CommandError:
        if os.geteuid() != 0:
            raise
        update()
        return _download(metapackage, pattern, into)


def update() -> None:
    """Fetch the package lists anew."""
    run([_apt_get(), *_RETRIES, "-q", "update"], timeout_s=_NETWORK_TIMEOUT_S)


def _download(metapackage: str, pattern: str, into: Path) -> Path:
    depends = run([need("apt-cache", "apt"), "depends", "--important", metapackage],
                  timeout_s=_QUERY_TIMEOUT_S)  # fmt: skip
    match = re.search(rf"^\s+Depends: ({pattern})$", depends, re.MULTILINE)
    if match is None:
        msg = f"apt knows no package {metapackage}: run `apt-get update` as root, or use Debian 12"
        raise CommandError(msg)
    run([_apt_get(), *_RETRIES, *_AS_US, "-q", "download", match[1]],
        timeout_s=_NETWORK_TIMEOUT_S, cwd=into)  # fmt: skip
    packages = list(into.glob("*.deb"))
    if len(packages) != 1:
        msg = f"apt-get download {match[1]} gave {len(packages)} files"
        raise ArtifactsError(msg)
    return packages[0]


def debian_sources(suite: str) -> Sequence[str]:
    """Return one-line sources for Debian's `suite` as the host's apt has them; may be empty.

    Credentials in an address are dropped: the lines may be seen by every user of an image build.
    """
    fields = "$(ORIGIN)|$(CODENAME)|$(SITE)|$(RELEASE)|$(COMPONENT)"
    listing = run(
        [_apt_get(), "indextargets", "--format", fields, "Created-By: Packages"],
        timeout_s=_QUERY_TIMEOUT_S,
    )
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
