"""The images on this host's disk, one read-only file each, named by its SHA-256.

All bunkers of an image share its file, and so one page cache.
"""

import os
import re
import shutil
from pathlib import Path

from scaibunker.worker.errors import ImageNotCached, WorkerFault

SHA256 = re.compile(r"[0-9a-f]{64}\Z")
SUFFIX = ".ext4"


class ImageCache:
    """Everything in `folder` is a whole image: files appear in it by a rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink(missing_ok=True)

    def cached(self) -> list[str]:
        """SHA-256 of every image that is here, sorted."""
        return sorted(p.stem for p in self._folder.glob(f"*{SUFFIX}") if SHA256.match(p.stem))

    def ensure(self, sha256: str, size: int) -> Path:
        """The image's file. Raises ImageNotCached."""
        if not SHA256.match(sha256):
            raise ImageNotCached("image_sha256 is no SHA-256")
        path = self._folder / f"{sha256}{SUFFIX}"
        try:
            actual = path.stat().st_size
        except FileNotFoundError:
            raise ImageNotCached(f"image {sha256[:12]} is not on this worker") from None
        if actual != size:
            raise ImageNotCached(f"image {sha256[:12]} has {actual} bytes here instead of {size}")
        return path

    def link(self, source: Path) -> None:
        """Take in a file that is named by its SHA-256 (a suffix is allowed): linked where the file
        system allows it, else copied. Raises WorkerFault."""
        if not SHA256.match(source.stem):
            raise WorkerFault(f"{source} is not named by a SHA-256")
        target = self._folder / f"{source.stem}{SUFFIX}"
        if target.exists():
            return
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        try:
            try:
                os.link(source.resolve(), temporary)
            except OSError:  # another file system
                shutil.copyfile(source, temporary)
            temporary.rename(target)
        except OSError as error:
            raise WorkerFault(f"cannot take in the image {source}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)
