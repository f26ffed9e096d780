"""Parts of stored snapshots as they come, verified; over short absences of the store too.

What breaks off goes on where it broke: the checksum is of all bytes, whichever answers they came in. That
it is right is known at the end, so that nothing may be used before.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from pydantic import ValidationError

from scaibunker.wire.worker.snapshots import (
    MANIFEST_LIMIT,
    MANIFEST_NAME,
    SnapshotManifest,
    SnapshotPart,
)
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.snapshots.store import SnapshotStore, StoreAway

log = structlog.get_logger(__name__)

STANDSTILL_S = 60.0
"""Seconds without a byte until a part is given up."""
LEAST_PIECE = 512 * 1024
"""Bytes that are worth a thread's while."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.25, 5.0
"""Before the store is asked again."""


async def verified(
    store: SnapshotStore, snapshot_id: str, name: str, part: SnapshotPart
) -> AsyncGenerator[bytes, None]:
    """A part's bytes. Raises WorkerFault at the end at the latest if they are not what was stored."""
    digest, received = hashlib.sha256(), 0
    async with aclosing(_gathered(_resumed(store, f"{snapshot_id}/{name}", part.size))) as chunks:
        async for chunk in chunks:
            received += len(chunk)
            if received > part.size:
                break
            await asyncio.to_thread(digest.update, chunk)
            yield chunk
    if (received, digest.hexdigest()) != (part.size, part.sha256):
        raise WorkerFault(f"the snapshot's {name} is not what was stored")


async def manifest_of(
    store: SnapshotStore, snapshot_id: str, manifest_sha256: str
) -> SnapshotManifest:
    """A snapshot's manifest, verified. Raises WorkerFault."""
    data = bytearray()
    async with aclosing(_resumed(store, f"{snapshot_id}/{MANIFEST_NAME}", None)) as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) > MANIFEST_LIMIT:
                break
    if hashlib.sha256(data).hexdigest() != manifest_sha256:
        raise WorkerFault("the snapshot's manifest is not what was stored")
    try:
        return SnapshotManifest.model_validate_json(bytes(data))
    except ValidationError:
        raise WorkerFault(
            "the snapshot's manifest is of a form that this worker does not know"
        ) from None


async def _resumed(
    store: SnapshotStore, name: str, size: int | None
) -> AsyncGenerator[bytes, None]:
    """An object's bytes, asked for again from where they broke off while the store is away. Raises the
    last StoreAway when nothing has come for too long."""
    position, last = 0, time.monotonic()
    pause = FIRST_PAUSE_S
    while True:
        try:
            async with aclosing(store.get(name, position)) as chunks:
                while True:
                    try:
                        async with asyncio.timeout(last + STANDSTILL_S - time.monotonic()):
                            chunk = await anext(chunks, None)
                    except TimeoutError:
                        raise StoreAway(f"{name} has stood still for {STANDSTILL_S:g} s") from None
                    if chunk is None:
                        return
                    yield chunk
                    position += len(chunk)
                    last, pause = time.monotonic(), FIRST_PAUSE_S
        except StoreAway as fault:
            if position == size:
                return
            if time.monotonic() + pause > last + STANDSTILL_S:
                raise
            log.warning("store_away", name=name, reason=fault.message, again_in_s=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE_S)


async def _gathered(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes in larger pieces."""
    pieces: list[bytes] = []
    gathered = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            pieces.append(chunk)
            gathered += len(chunk)
            if gathered >= LEAST_PIECE:
                yield b"".join(pieces)
                pieces.clear()
                gathered = 0
    if pieces:
        yield b"".join(pieces)
