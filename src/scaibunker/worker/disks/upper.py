"""The writable layer of a bunker: a sparse ext4 file of `disk_mb`, laid over the image.

Only its first blocks are written, so making one costs milliseconds and no space.
"""

import asyncio
import os
from pathlib import Path

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.process import plain_environment

MKFS_TIMEOUT_S = 60.0


async def make_upper(path: Path, disk_mb: int) -> None:
    """Make the file. Nothing remains under `path` on failure. Raises WorkerFault."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            os.truncate(file.fileno(), disk_mb * 1024 * 1024)
        await _mkfs(temporary)
        temporary.rename(path)
    except OSError as error:
        raise WorkerFault(f"cannot make the bunker's disk: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


async def _mkfs(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", "scaibunker-upper",
        "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", str(path),
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
