"""The images on this host's disk, one read-only file each, named by its SHA-256.

All bunkers of an image share its file, and so one page cache. Files come from the folders that the
operator lists; what a machine still uses must not be removed.
"""

import contextlib
import os
import shutil
from pathlib import Path

from scaibunker.worker.errors import ImageNotCached

SHA256_LENGTH = 64


class ImageCache:
    """`folder` is ours; `sources` are folders that hold `<sha256>.ext4` files of others."""

    def __init__(self, folder: Path, sources: list[Path]) -> None:
        self._folder = folder
        self._sources = sources
        folder.mkdir(parents=True, exist_ok=True)

    def cached(self) -> list[str]:
        """SHA-256 of every image that is here, sorted."""
        return sorted(p.stem for p in self._folder.glob("*.ext4") if len(p.stem) == SHA256_LENGTH)

    def refresh(self) -> None:
        """Link everything that the source folders offer."""
        for source in self._sources:
            for path in source.glob("*.ext4"):
                if len(path.stem) == SHA256_LENGTH:
                    self._link(path)

    def ensure(self, sha256: str, size: int) -> Path:
        """The image's file. Raises ImageNotCached."""
        path = self._folder / f"{sha256}.ext4"
        if not path.exists():
            for source in self._sources:
                candidate = source / path.name
                if candidate.exists():
                    self._link(candidate)
                    break
        try:
            actual = path.stat().st_size
        except FileNotFoundError:
            raise ImageNotCached(f"image {sha256[:12]} is not on this worker") from None
        if actual != size:
            raise ImageNotCached(f"image {sha256[:12]} has {actual} bytes here instead of {size}")
        return path

    def _link(self, source: Path) -> None:
        target = self._folder / source.name
        if target.exists():
            return
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        try:
            try:
                os.link(source.resolve(), temporary)
            except OSError:  # another file system
                shutil.copyfile(source, temporary)
            temporary.rename(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
