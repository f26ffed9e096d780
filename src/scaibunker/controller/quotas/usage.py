"""What is held of which allowance, for who may see it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from scaibunker.controller.permissions import Key
from scaibunker.controller.quotas import holds, repository
from scaibunker.controller.quotas.applicable import applicable
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.domain import (
    Amounts,
    Profile,
    Resource,
    TargetKind,
    user_bucket,
)
from scaibunker.wire.api import quotas as wire
from scaigrid.db import Database, Reader
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.live.store import LiveStoreDown
from scaigrid.operation import Operation

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Buckets lie in the order of their names; a cursor wants a time too."""


class Usage:
    """Reads counters, or rows while there are none."""

    def __init__(self, database: Database, counters: Counters) -> None:
        self._database = database
        self._counters = counters

    async def listing(self, op: Operation, page: PageRequest) -> Slice[wire.QuotaUsage]:
        """Who may set a tenant's quotas sees all of its buckets; others their own, and those that
        they share."""
        async with self._database.read() as db:
            if op.user.holds(Key.ADMIN_TENANT, Key.ADMIN_PLATFORM):
                names = await repository.buckets(op, db)
            else:
                mine = user_bucket(op.user.user_id)
                applied = await applicable(op, db, op.user.user_id)
                names = sorted({mine, *(each.bucket for each in applied)})
            if page.after is not None:
                names = [name for name in names if name > page.after[1]]
            shown = page.slice(names[: page.limit + 1], lambda name: (_ANY_TIME, name))
            profiles = {name: await self._profiles(op, db, name) for name in shown.items}
        held = await self._held(op, shown.items)
        return shown.map(lambda name: _row(name, profiles[name], held.get(name, {})))

    async def _profiles(self, op: Operation, db: Reader, bucket: str) -> list[Profile]:
        kind, _, target_id = bucket.partition(":")
        if kind == TargetKind.GROUP.value:
            return await repository.shared_by(op, db, target_id)
        found = await applicable(op, db, target_id)
        return [each.profile for each in found if each.bucket == bucket]

    async def _held(self, op: Operation, buckets: Sequence[str]) -> dict[str, Amounts]:
        if not buckets:
            return {}
        try:
            found = await self._counters.current(buckets)
        except LiveStoreDown:
            found = None
        if found is not None:
            return found
        async with self._database.read() as db:
            return await holds.sums(op, db, buckets)


def _row(bucket: str, profiles: Iterable[Profile], held: Amounts) -> wire.QuotaUsage:
    caps: dict[Resource, int] = {}
    for each in profiles:
        for resource, most in each.caps.items():
            caps[resource] = min(most, caps.get(resource, most))
    kind, _, target_id = bucket.partition(":")
    return wire.QuotaUsage(
        bucket=bucket,
        kind=wire.QuotaTargetKind(kind),
        id=target_id,
        profiles=[each.id for each in profiles],
        current={r.value: held.get(r, 0) for r in Resource},
        cap={r.value: caps.get(r) for r in Resource},
        remaining={
            r.value: max(0, caps[r] - held.get(r, 0)) if r in caps else None for r in Resource
        },
    )
