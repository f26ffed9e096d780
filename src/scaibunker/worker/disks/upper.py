"""The writable layer of a bunker: a sparse ext4 file of `disk_mb`, laid over the image.

Only its first blocks are written, so making one costs milliseconds and no space.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.process import plain_environment

MKFS_TIMEOUT_S = 60.0
MakeUpper = Callable[[Path, int], Awaitable[None]]
"""Makes the file, of so many MiB; whole or not at all. Raises WorkerFault."""


GROWS_TO_MB = 1024 * 1024
"""What it can grow to while it is in use: room for descriptions of so many MiB is kept from the start."""
GROUP_MB = 128
_BLOCK = 4096
_LAZY = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"


async def make_upper(path: Path, disk_mb: int) -> None:
    """Make the file. Nothing remains under `path` on failure. Raises WorkerFault."""
    await _make(path, disk_mb, ("-E", _LAZY))


async def make_growing(path: Path, disk_mb: int) -> None:
    """Make one that can be made larger, up to `GROWS_TO_MB`, while a machine has it mounted. Otherwise as
    `make_upper`; `disk_mb` is a sixteenth of that at most."""
    blocks = GROWS_TO_MB * 1024 * 1024 // _BLOCK
    # A group that is added later has as many inodes as the first, which may be a small one now.
    bytes_per_inode = 16384 * min(disk_mb, GROUP_MB) // GROUP_MB
    options = (
        "-b",
        str(_BLOCK),
        "-I",
        "256",
        "-i",
        str(bytes_per_inode),
        "-E",
        f"resize={blocks},{_LAZY}",
    )
    await _make(path, disk_mb, options)


async def _make(path: Path, disk_mb: int, options: tuple[str, ...]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            os.truncate(file.fileno(), disk_mb * 1024 * 1024)
        await _mkfs(temporary, options)
        temporary.rename(path)
    except OSError as error:
        raise WorkerFault(f"cannot make the bunker's disk: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


async def _mkfs(path: Path, options: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", "scaibunker-upper",
        *options, str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=plain_environment(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(MKFS_TIMEOUT_S):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise WorkerFault(f"mke2fs has taken more than {MKFS_TIMEOUT_S:g} s") from None
    except BaseException:
        process.kill()
        raise
    if process.returncode:
        raise WorkerFault(f"mke2fs failed: {errors.decode(errors='replace').strip()[:500]}")
