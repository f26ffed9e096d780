"""`POST /bunkers`: from a valid request to a row that holds its capacity.

The machine is the reconciler's business; the answer does not wait for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from scaibunker.controller.bridges import ports
from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import (
    Bunker,
    Desired,
    ImageRef,
    Network,
    Shape,
    Source,
)
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.networks import settled
from scaibunker.controller.bunkers.reading import Reading
from scaibunker.controller.bunkers.request import (
    check_claims,
    check_limits,
    check_source,
    limits_of,
    network_of,
    shape_of,
)
from scaibunker.controller.images import repository as images
from scaibunker.controller.images.domain import Image
from scaibunker.controller.images.errors import ImageNotFound, ImageNotReady
from scaibunker.controller.quotas.applicable import applicable
from scaibunker.controller.quotas.domain import (
    Applied,
    Claim,
    Profile,
    amounts_of,
    claim,
    user_bucket,
)
from scaibunker.controller.quotas.ledger import Hold, Ledger, StaleHold
from scaibunker.controller.scheduler.domain import Demand, Place
from scaibunker.controller.scheduler.placement import Placement
from scaibunker.controller.settings import LimitSettings
from scaibunker.controller.snapshots import repository as snapshots
from scaibunker.controller.snapshots import restore
from scaibunker.controller.snapshots.errors import SnapshotNotFound
from scaibunker.wire.api.bunkers import BunkerCreate, LifecycleMode
from scaibunker.wire.api.images import ImageStatus
from scaigrid.db import Database, Writer
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.ids import new_id
from scaigrid.operation import Operation

HOLDS = 5
"""How often a create holds its quota at most; each time after the first the counters were made anew."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a bunker is made of: an image, and beside it a snapshot if `source` names one. `shape` is what
    it gets."""

    image: ImageRef
    shape: Shape
    source: Source | None = None


class Create:
    """Makes bunkers."""

    def __init__(
        self,
        database: Database,
        reading: Reading,
        placement: Placement,
        ledger: Ledger,
        limits: LimitSettings,
        maximum: Profile | None,
        hint: Callable[[str], None],
    ) -> None:
        self._database = database
        self._reading = reading
        self._placement = placement
        self._ledger = ledger
        self._limits = limits
        self._maximum = maximum
        self._hint = hint

    async def __call__(self, op: Operation, body: BunkerCreate) -> Bunker:
        """A new bunker, pending, with a place held on a worker.

        Judged in this order: what the caller may ask for, whether the request makes sense, whether
        what it names exists, whether its quotas allow it, whether there is room.
        """
        check_claims(op.user, body.model_dump(mode="json"))
        check_source(body)
        body = await self._inherited(op, body)
        network = network_of(body)
        check_limits(body, self._limits)
        async with self._database.read() as db:
            network = await ports.resolve(op, db, network)
        if body.snapshot_id is not None:
            origin = await self._snapshot(op, body, body.snapshot_id)
        else:
            origin = await self._image(op, body)
        draft = self._draft(op, body, origin, network)

        bunker = await self._held(op, draft)
        self._hint(bunker.id)
        return bunker

    async def _held(self, op: Operation, draft: Bunker) -> Bunker:
        """The bunker with its quota and its place held, both or none."""
        amounts = amounts_of(
            draft.shape, persistent=draft.lifecycle_mode is LifecycleMode.PERSISTENT
        )
        async with self._database.read() as db:
            applied = await applicable(op, db, draft.owner_user_id)
        wanted = claim(draft.id, draft.owner_user_id, amounts, [*applied, *self._maxima(draft)])
        for _ in range(HOLDS):
            hold = await self._ledger.hold(op, wanted)
            try:
                return await self._placed(op, draft, wanted, hold)
            except StaleHold:
                await self._ledger.stale(op, hold, draft.id)
            except IntegrityError:
                # An attempt under the same idempotency key got this far and died before it answered.
                async with self._database.read() as db:
                    made = await repository.get(op, db, draft.id)
                if made is None or made.is_final:  # it has let go long ago
                    await self._ledger.let_go(draft.id)
                if made is None:
                    raise
                return made
            except DatabaseUnavailable as error:
                if not error.in_doubt:  # else the row may be there; the search for drift finds out
                    await self._ledger.let_go(draft.id)
                raise
            except Exception:
                await self._ledger.let_go(draft.id)
                raise
        raise DatabaseUnavailable("What counts of quotas changes too fast; nothing was made.")

    async def _placed(self, op: Operation, draft: Bunker, wanted: Claim, hold: Hold) -> Bunker:
        async def write(db: Writer, place: Place) -> Bunker:
            if draft.source and not await snapshots.hold(op, db, draft.source.snapshot_id):
                raise SnapshotNotFound  # deleted since it was looked at
            network = await ports.assign(op, db, draft.id, draft.network)
            placed = replace(
                draft,
                network=await settled(op, db, network, place.worker_id),
                worker_id=place.worker_id,
                gpu_type_held=place.gpu_type,
            )
            await repository.add(op, db, placed)
            await ports.plug(op, db, placed.id, placed.network)
            await self._ledger.write(op, db, wanted, hold)
            return placed

        network = draft.network
        demand = Demand(
            draft.shape, network.profile.value, draft.image.sha256, only=network.bound_to
        )
        return await self._placement.place(op, demand, write)

    def _maxima(self, draft: Bunker) -> list[Applied]:
        """The platform's own bounds of what a user has, as a profile that applies to everybody."""
        if self._maximum is None:
            return []
        return [Applied(self._maximum, user_bucket(draft.owner_user_id))]

    async def _image(self, op: Operation, body: BunkerCreate) -> Origin:
        async with self._database.read() as db:
            image = await images.resolve(op, db, body.image or "")
        if image is None:
            raise ImageNotFound
        return Origin(_usable(image), shape_of(body, image, self._limits))

    async def _inherited(self, op: Operation, body: BunkerCreate) -> BunkerCreate:
        """With the network profile of the snapshot whose memory goes on, where none is asked for: the caller needs
        the key for it all the same."""
        if body.snapshot_id is None or not restore.may_inherit(body):
            return body
        async with self._database.read() as db:
            snapshot = await snapshots.get(op, db, body.snapshot_id)
        if snapshot is None or snapshot.tenant_id != op.user.tenant_id:
            return body  # it is refused where everything that is named is looked up
        body = restore.inherited(body, snapshot)
        check_claims(op.user, body.model_dump(mode="json"))
        return body

    async def _snapshot(self, op: Operation, body: BunkerCreate, snapshot_id: str) -> Origin:
        """The image is what the snapshot's bunker had: it need not be there for others any more. However
        far the caller reaches, a bunker is made of a snapshot of its own tenant."""
        async with self._database.read() as db:
            snapshot = await snapshots.get(op, db, snapshot_id)
        if snapshot is None or snapshot.tenant_id != op.user.tenant_id:
            raise SnapshotNotFound
        op.note(snapshot_id=snapshot.id)
        source = restore.source_of(body, snapshot)
        shape = restore.shape_of(body, snapshot, source.kind, self._limits)
        return Origin(snapshot.image, shape, source)

    def _draft(self, op: Operation, body: BunkerCreate, origin: Origin, network: Network) -> Bunker:
        now = op.now()
        limits = limits_of(body)
        lifetime = limits.max_lifetime_s
        return Bunker(
            id=new_id("bnk", op.token),
            tenant_id=op.user.tenant_id,
            owner_user_id=op.user.user_id,
            name=body.name,
            status=State.PENDING,
            status_reason=None,
            desired=Desired.RUNNING,
            desired_reason=None,
            image=origin.image,
            lifecycle_mode=body.lifecycle_mode,
            labels=body.label_set,
            env=body.env_vars,
            network=network,
            shape=origin.shape,
            limits=limits,
            session_type=body.session_type,
            session_ref=body.session_ref,
            worker_id=None,
            created_at=now,
            placed_at=None,
            started_at=None,
            terminated_at=None,
            last_activity_at=now,
            expires_at=now + timedelta(seconds=lifetime) if lifetime else None,
            source=origin.source,
        )


def _usable(image: Image) -> ImageRef:
    if image.status is not ImageStatus.READY or image.sha256 is None or image.size_bytes is None:
        raise ImageNotReady(f"The image {image.name} is {image.status}.")
    return ImageRef(image.id, image.name, image.sha256, image.size_bytes)
