"""Where artifacts are kept and what the operator supplies; the only reader of the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import scaibunker


@dataclass(frozen=True)
class Settings:
    """Paths the artifacts are made from. All absolute."""

    cache_dir: Path
    """`SCAIBUNKER_CACHE_DIR`, else `scaibunker` in the user's cache directory."""
    sources: Path | None = None
    """The checkout with `guest-agent/` and `image-baker/`; None in an installed distribution."""
    guest_agent: Path | None = None
    """`SCAIBUNKER_GUEST_AGENT`: a prebuilt static binary, used instead of the sources."""
    image_baker: Path | None = None
    """`SCAIBUNKER_IMAGE_BAKER`: a prebuilt binary, used instead of the sources."""
    kernel: Path | None = None
    """`SCAIBUNKER_KERNEL`: vmlinux or bzImage, used instead of Debian's."""
    kernel_modules: Path | None = None
    """`SCAIBUNKER_KERNEL_MODULES`: that kernel's `lib/modules/<release>`."""


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this process."""

    def path(name: str) -> Path | None:
        value = environ.get(name)
        return Path(value).expanduser().absolute() if value else None

    package = Path(scaibunker.__file__).parent
    caches = path("XDG_CACHE_HOME") or Path.home() / ".cache"
    checkout = package.parents[1]
    in_checkout = (checkout / "image-baker" / "go.mod").is_file()
    return Settings(
        cache_dir=path("SCAIBUNKER_CACHE_DIR") or caches / "scaibunker",
        sources=checkout if in_checkout else None,
        guest_agent=path("SCAIBUNKER_GUEST_AGENT") or _shipped(package, "guest-agent"),
        image_baker=path("SCAIBUNKER_IMAGE_BAKER") or _shipped(package, "image-baker"),
        kernel=path("SCAIBUNKER_KERNEL"),
        kernel_modules=path("SCAIBUNKER_KERNEL_MODULES"),
    )


def _shipped(package: Path, name: str) -> Path | None:
    """Return the binary that a built distribution carries."""
    binary = package / "artifacts" / "data" / name
    return binary if binary.is_file() else None
