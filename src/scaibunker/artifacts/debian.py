"""Debian packages into tarballs: a base image's root file system, or the files of one package.

`mmdebstrap` does the work, with signatures checked, on any host that has it. The tarball is the same for the same packages, whenever and wherever
it is made: times are cut to one moment, and what differs from machine to machine is removed by
the recipe's hooks. Turning it into an image is `bake`.
"""

import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from scaibunker.artifacts.commands import need, run
from scaibunker.artifacts.recipes import ImageRecipe
from scaibunker.artifacts.records import ArtifactsError

EPOCH = 1735689600
"""2025-01-01: no file in an image is newer than this."""
_TIMEOUT_S = 1800
# Packages' scripts see the environment, so that it must be the same everywhere.
_ENVIRONMENT = ("PATH", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
# Documentation in other languages, manuals and caches: half of a minimal system.
_LEFT_OUT = (
    "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*",
    "/usr/share/groff/*", "/usr/share/lintian/*", "/usr/share/linda/*",
)  # fmt: skip
_KEPT = ("/usr/share/doc/*/copyright", "/usr/share/doc/apt/examples/sources.list")


def bootstrap(recipe: ImageRecipe, sources: Sequence[str], scratch: Path) -> Path:
    """Return a fresh tarball of the recipe's root file system, made inside `scratch`.

    `sources` are one-line apt sources to take the packages from; without any, Debian's public ones.
    """
    options = (
        "--variant=minbase",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f"--include={','.join(recipe.packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        *(f"--dpkgopt=path-include={pattern}" for pattern in _KEPT),
        *(f"--customize-hook={hook}" for hook in recipe.hooks),
    )
    return _mmdebstrap(options, recipe.suite, sources, scratch)


def unpack(package: str, suite: str, sources: Sequence[str], scratch: Path) -> Path:
    """Return a tarball of the files of a package and of all it depends on, with none set up."""
    options = ("--variant=extract", f"--include={package}", "--skip=check/empty")
    return _mmdebstrap(options, suite, sources, scratch)


def _mmdebstrap(options: Sequence[str], suite: str, sources: Sequence[str], scratch: Path) -> Path:
    tarball = scratch / "packages.tar"
    temporary = scratch / "tmp"
    temporary.mkdir(mode=0o755)
    run(
        [need("mmdebstrap", "mmdebstrap"), "--format=tar", *options, suite, tarball, *sources],
        timeout_s=_TIMEOUT_S,
        inherit=_ENVIRONMENT,
        env={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(temporary)},
    )
    return tarball


def version_of(recipe: ImageRecipe, tarball: Path) -> str:
    """Return the version that the tarball's own files state."""
    with tarfile.open(tarball) as archive:
        member = archive.extractfile(recipe.version_file)
        text = member.read().decode() if member else ""
    match = re.search(recipe.version_pattern, text)
    if match is None:
        msg = f"image {recipe.name}: no version in its {recipe.version_file}"
        raise ArtifactsError(msg)
    return match[1]
