"""`/bunkers`: the resource itself. Commands and files are `relay`'s."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Literal

from fastapi import Header, Query
from starlette.datastructures import QueryParams

from scaibunker.controller.bridges.errors import BridgeNotFound
from scaibunker.controller.bunkers import errors
from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.bunkers.change import Changes
from scaibunker.controller.bunkers.create import Create
from scaibunker.controller.bunkers.domain import Bunker
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.reading import Reading
from scaibunker.controller.bunkers.repository import Filter
from scaibunker.controller.bunkers.request import check_claims, is_unguarded, unguarded
from scaibunker.controller.bunkers.resources import BUNKER
from scaibunker.controller.bunkers.view import view, view_change
from scaibunker.controller.images.errors import ImageNotFound, ImageNotReady
from scaibunker.controller.passivation.refusals import REFUSALS
from scaibunker.controller.permissions import ADMIN_KEYS, Key
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.snapshots.ending import EndWithSnapshot
from scaibunker.controller.snapshots.errors import SnapshotNotFound, SnapshotNotReady
from scaibunker.controller.workers.errors import WorkerUnreachable
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import bunkers as wire
from scaibunker.wire.api.snapshots import SnapshotKind
from scaigrid.errors import GridError, ValidationFailed
from scaigrid.http.access import Needs
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.routes import Op, Routes, events, many, one
from scaigrid.http.sse import Event, EventStream, Stopping
from scaigrid.operation import Operation

ONE = "/{bunker_id}"
MAX_WAIT_S = 3600
MAX_LABEL_FILTERS = 16


class BunkerEndpoints:
    """Create, read, end, freeze and watch bunkers."""

    def __init__(
        self,
        create: Create,
        reading: Reading,
        changes: Changes,
        end_with_snapshot: EndWithSnapshot,
        activity: Activity,
        stopping: Stopping,
    ) -> None:
        self._create = create
        self._reading = reading
        self._changes = changes
        self._end_with_snapshot = end_with_snapshot
        self._activity = activity
        self._stopping = stopping

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(f"{BASE_PATH}/bunkers", "bunkers", BUNKER)
        owners = Needs(Key.CREATE, *ADMIN_KEYS)
        missing = errors.BunkerNotFound
        record = one(wire.Bunker)
        routes.add(
            "POST",
            "",
            self.create_bunker,
            access=Needs(Key.CREATE),
            answers=one(wire.Bunker, 201, "The record."),
            claims=_create_claims,
            errors=[
                errors.LifecycleModeDenied,
                errors.NetworkProfileDenied,
                errors.L2TransparencyDenied,
                errors.NetworkAllowlistInvalid,
                errors.InterfacesNotAllowed,
                errors.TransitMissingInterfaces,
                BridgeNotFound,
                SnapshotNotFound,
                SnapshotNotReady,
                ImageNotFound,
                ImageNotReady,
                BunkerQuotaExceeded,
                WorkerUnavailable,
                NoSuitableWorker,
            ],
        )
        routes.add("GET", "", self.list_bunkers, access=owners, answers=many(wire.Bunker))
        routes.add("GET", ONE, self.get_bunker, access=owners, answers=record, errors=[missing])
        routes.add(
            "DELETE",
            ONE,
            self.delete_bunker,
            access=owners,
            answers=record,
            errors=[
                missing,
                errors.BunkerInvalidTransition,
                errors.BunkerNotRunning,
                BunkerQuotaExceeded,
                SnapshotNotReady,
            ],
        )
        woken: list[type[GridError]] = [errors.BunkerNotRunning, *REFUSALS]
        for verb, endpoint in (("pause", self.pause_bunker), ("resume", self.resume_bunker)):
            routes.add(
                "POST",
                f"{ONE}/{verb}",
                endpoint,
                access=owners,
                answers=record,
                errors=[
                    missing,
                    errors.BunkerInvalidTransition,
                    WorkerUnreachable,
                    *(woken if verb == "resume" else ()),
                ],
            )
        routes.add(
            "POST",
            f"{ONE}/keepalive",
            self.keep_bunker_alive,
            access=owners,
            answers=record,
            errors=[missing, errors.BunkerNotRunning],
        )
        routes.add(
            "GET",
            f"{ONE}/events",
            self.watch_bunker,
            access=owners,
            answers=events("Events `status`, one for each change of state, from the first on."),
            errors=[missing],
        )
        return routes

    async def create_bunker(
        self,
        op: Op,
        body: wire.BunkerCreate,
        wait: Annotated[
            Literal["running"] | None, Query(description="Answer when it runs or has failed.")
        ] = None,
        timeout_s: Annotated[
            float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait at most.")
        ] = 60,
    ) -> wire.Bunker:
        """Create a bunker. It is pending in the answer, unless the request waits for more."""
        bunker = await self._create(op, body)
        if wait is not None:
            bunker = await self._reading.until(
                op, bunker.id, lambda b: b.status is State.RUNNING, timeout_s
            )
        return self._view(bunker)

    async def list_bunkers(
        self,
        op: Op,
        page: Paged,
        status: Annotated[wire.BunkerStatus | None, Query()] = None,
        lifecycle: Annotated[wire.LifecycleMode | None, Query()] = None,
        label: Annotated[
            list[str] | None,
            Query(description="`key=value`, or `key` for any value; all given ones must match."),
        ] = None,
    ) -> Slice[wire.Bunker]:
        """List the caller's bunkers; with an admin permission all of the tenant's."""
        wanted = Filter(
            status=State(status.value) if status else None,
            lifecycle=lifecycle,
            labels=_labels(label or []),
        )
        return (await self._reading.listing(op, page, wanted)).map(self._view)

    async def get_bunker(self, op: Op, bunker_id: str) -> wire.Bunker:
        """Read one bunker."""
        return self._view(await self._reading.get(op, bunker_id))

    async def delete_bunker(
        self,
        op: Op,
        bunker_id: str,
        snapshot: Annotated[
            bool,
            Query(description="End it once there is a snapshot of it; if that fails it goes on."),
        ] = False,
        kind: Annotated[
            SnapshotKind, Query(description="Of the snapshot, if there is to be one.")
        ] = SnapshotKind.DISK,
    ) -> wire.Bunker:
        """End a bunker. Answers when it is gone; after a while at the latest, and then the record
        is not yet `terminated` and the end goes on in the background. One that has ended is
        answered as it is. One whose worker is offline counts as ended at once; the worker takes the
        machine down when it comes back.

        With `snapshot` a running or paused bunker is `snapshotting` until the snapshot is ready, and then
        ends."""
        if snapshot:
            return self._view(await self._end_with_snapshot(op, bunker_id, kind))
        return self._view(await self._changes.end(op, bunker_id))

    async def pause_bunker(self, op: Op, bunker_id: str) -> wire.Bunker:
        """Freeze a running bunker in place: memory kept, no CPU used."""
        return self._view(await self._changes.pause(op, bunker_id))

    async def resume_bunker(self, op: Op, bunker_id: str) -> wire.Bunker:
        """Let a paused bunker go on. A passivated one is woken, on any worker that can take it."""
        return self._view(await self._changes.resume(op, bunker_id))

    async def keep_bunker_alive(self, op: Op, bunker_id: str) -> wire.Bunker:
        """Count as activity, so that the bunker is not idle."""
        return self._view(await self._changes.keep_alive(op, bunker_id))

    async def watch_bunker(
        self,
        op: Op,
        bunker_id: str,
        last_event_id: Annotated[str | None, Header(max_length=20)] = None,
    ) -> EventStream:
        """Watch a bunker's state: every change so far, then each as it happens, to the final one. That it
        is passivated comes as an event `passivated`.

        `Last-Event-ID` goes on after that event.
        """
        after = _sequence(last_event_id)
        await self._reading.get(op, bunker_id)
        return EventStream(self._watch(op, bunker_id, after), self._stopping)

    async def _watch(
        self, op: Operation, bunker_id: str, after: int
    ) -> AsyncGenerator[Event, None]:
        async with contextlib.aclosing(self._reading.changes(op, bunker_id, after)) as changes:
            async for change in changes:
                shown = view_change(change)
                yield Event(shown.type, shown, str(change.sequence))

    def _view(self, bunker: Bunker) -> wire.Bunker:
        return view(bunker, self._activity.latest(bunker.id, bunker.last_activity_at))


def _create_claims(op: Operation, query: QueryParams, body: Mapping[str, Any]) -> None:  # noqa: ARG001
    if is_unguarded(body):
        op.note(
            spoof_guard=False,
            permission=Key.L2_TRANSPARENCY,
            unguarded_interfaces=" ".join(unguarded(body)),
        )
    check_claims(op.user, body)


def _labels(filters: list[str]) -> list[tuple[str, str | None]]:
    if len(filters) > MAX_LABEL_FILTERS:
        raise ValidationFailed.of("label", f"at most {MAX_LABEL_FILTERS} can be given")
    pairs: list[tuple[str, str | None]] = []
    for entry in filters:
        key, equals, value = entry.partition("=")
        if not key:
            raise ValidationFailed.of("label", "must be `key=value` or `key`")
        pairs.append((key, value if equals else None))
    return pairs


def _sequence(last_event_id: str | None) -> int:
    if last_event_id is None:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdecimal()):
        raise ValidationFailed.of("Last-Event-ID", "must be the id of an event of this stream")
    return min(int(last_event_id), 2**31 - 1)
