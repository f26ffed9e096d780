"""Where snapshots are kept, as the worker sees it: objects by name, streamed both ways.

`LocalStore` keeps them in a folder of this host; `http_store` speaks to the deployment's storage.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Protocol

from scaibunker.wire.codes import Code
from scaibunker.worker.errors import WorkerFault

CHUNK = 1024 * 1024
NAME = re.compile(r"[a-z]{2,8}_[A-Za-z0-9]{1,40}/[a-z]+\.[a-z]+\Z")
"""`<snapshot id>/<part>`: nothing else becomes a name."""


class ObjectMissing(WorkerFault):
    """There is no such object."""


class StoreAway(WorkerFault):
    """Storage cannot be reached now, or says that it cannot serve; worth another try."""

    code = Code.STORAGE_UNAVAILABLE


class SnapshotStore(Protocol):
    """Objects are there whole or not at all."""

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str) -> None:
        """Keep what comes, which must have that size and checksum. Raises WorkerFault."""
        ...

    def get(self, name: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The object, without its first `start` bytes. Raises ObjectMissing, StoreAway, WorkerFault."""
        ...

    async def delete(self, name: str) -> None:
        """Idempotent. Raises WorkerFault."""
        ...


class LocalStore:
    """A `SnapshotStore` in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str) -> None:
        path = self._path(name)
        temporary = path.with_suffix(".tmp")
        digest, received = hashlib.sha256(), 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                async for chunk in chunks:
                    digest.update(chunk)
                    received += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            if (received, digest.hexdigest()) != (size, sha256):
                raise WorkerFault(f"{name} has not arrived as it was sent")
            temporary.rename(path)
        except OSError as error:
            raise WorkerFault(f"cannot store {name}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    async def get(self, name: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        try:
            file = self._path(name).open("rb")
        except FileNotFoundError:
            raise ObjectMissing(f"there is no {name} in storage") from None
        except OSError as error:
            raise WorkerFault(f"cannot read {name}: {error.strerror}") from error
        with file:
            file.seek(start)
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk

    async def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as error:
            raise WorkerFault(f"cannot delete {name}: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        if not NAME.match(name):
            raise WorkerFault("that is no name of a part of a snapshot")
        return self._folder / name


async def file_chunks(path: Path) -> AsyncIterator[bytes]:
    """A file's bytes."""
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
