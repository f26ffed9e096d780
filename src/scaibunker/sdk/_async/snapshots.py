"""Snapshots: copies of bunkers that outlive them, and that bunkers can be made of."""

from collections.abc import AsyncIterator

from scaibunker.sdk import _calls
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import Call, bunker_path
from scaibunker.sdk._runtime import asleep
from scaibunker.sdk.errors import SnapshotFailed, WaitTimedOut
from scaibunker.sdk.waiting import SnapshotProgress, pauses, unobserved
from scaibunker.wire.api.snapshots import Snapshot, SnapshotCreate, SnapshotKind, SnapshotStatus

DEFAULT_SNAPSHOT_WAIT_S = 600.0


class AsyncSnapshots:
    """The snapshots that the key can reach."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        bunker_id: str,
        kind: SnapshotKind | str = SnapshotKind.DISK,
        *,
        name: str | None = None,
        expires_in_s: int | None = None,
        wait: bool = True,
        wait_timeout: float = DEFAULT_SNAPSHOT_WAIT_S,
        on_progress: SnapshotProgress = unobserved,
        idempotency_key: str | None = None,
    ) -> Snapshot:
        """Copy a bunker: its file system (`disk`), or its memory too, so that what runs in it can
        go on elsewhere (`full`). It stands still while it is copied, and then goes on.

        Never makes two: the request carries an Idempotency-Key, and is sent again by itself if its
        answer was lost. With `wait` it comes back when the snapshot is ready (see `wait_ready`);
        one that was not waited for to its end goes on without you.
        """
        given = {"kind": kind, "name": name, "expires_in_s": expires_in_s}
        fields = {field: value for field, value in given.items() if value is not None}
        call = Call(
            "POST",
            bunker_path(bunker_id, "snapshot"),
            body=_calls.body(SnapshotCreate, fields),
            repeatable=True,
            idempotency_key=idempotency_key or _calls.new_key(),
        )
        snapshot = await self._transport.record(call, Snapshot)
        if not wait:
            return snapshot
        return await self._ready(snapshot, wait_timeout, on_progress)

    async def list(
        self,
        *,
        bunker_id: str | None = None,
        status: SnapshotStatus | str | None = None,
        kind: SnapshotKind | str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[Snapshot]:
        """Every snapshot that fits, newest first; pages are fetched as they are needed."""
        call = _calls.get(_path(), bunker_id=bunker_id, status=status, kind=kind, limit=page_size)
        async for snapshot in self._transport.pages(call, Snapshot):
            yield snapshot

    async def get(self, snapshot_id: str) -> Snapshot:
        """A snapshot by its id."""
        return await self._transport.record(_calls.get(_one(snapshot_id)), Snapshot)

    async def wait_ready(
        self,
        snapshot_id: str,
        *,
        timeout: float = DEFAULT_SNAPSHOT_WAIT_S,
        on_progress: SnapshotProgress = unobserved,
    ) -> Snapshot:
        """Wait until it is ready; `on_progress` gets every record that is seen on the way.

        Raises `SnapshotFailed` if that will never be, `WaitTimedOut` after `timeout` seconds,
        `NotFound` if it is deleted meanwhile.
        """
        return await self._ready(await self.get(snapshot_id), timeout, on_progress)

    async def delete(self, snapshot_id: str) -> Snapshot:
        """Delete a snapshot; bunkers that were made of it go on.

        Not sent again by itself when its answer was lost: a second time it would be `NotFound`.
        """
        return await self._transport.record(Call("DELETE", _one(snapshot_id)), Snapshot)

    async def _ready(
        self, snapshot: Snapshot, timeout: float, on_progress: SnapshotProgress
    ) -> Snapshot:
        on_progress(snapshot)
        for pause in pauses(timeout):
            if snapshot.status.is_final:
                break
            await asleep(pause)
            snapshot = await self.get(snapshot.id)
            on_progress(snapshot)
        if snapshot.status is SnapshotStatus.READY:
            return snapshot
        if snapshot.status is SnapshotStatus.FAILED:
            raise SnapshotFailed(snapshot.id, snapshot.status_reason)
        raise WaitTimedOut(
            f"snapshot {snapshot.id} is {snapshot.status} after {timeout:g} s, not ready"
        )


def _path(*rest: str) -> str:
    return _calls.module_path("snapshots", *rest)


def _one(snapshot_id: str) -> str:
    return _path(_calls.checked_id("snapshot id", snapshot_id))
