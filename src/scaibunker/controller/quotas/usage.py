"""What is held of which allowance, for who may see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scaibunker.controller.permissions import Key
from scaibunker.controller.quotas import holds, repository
from scaibunker.controller.quotas.applicable import applicable, applicable_to
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

    def __init__(
        self, database: Database, counters: Counters, maximum: Profile | None = None
    ) -> None:
        self._database = database
        self._counters = counters
        self._maximum = maximum  # of any user, whatever profiles say

    async def listing(self, op: Operation, page: PageRequest) -> Slice[wire.QuotaUsage]:
        """Who may set a tenant's quotas sees all of its buckets; others their own, and those that
        they share."""
        after = page.after[1] if page.after is not None else ""
        async with self._database.read() as db:
            if op.user.holds(Key.ADMIN_TENANT, Key.ADMIN_PLATFORM):
                names = await repository.buckets(op, db, after, page.limit + 1)
            else:
                mine = user_bucket(op.user.user_id)
                applied = await applicable(op, db, op.user.user_id)
                names = sorted({mine, *(each.bucket for each in applied)})
                names = [name for name in names if name > after][: page.limit + 1]
            shown = page.slice(names, lambda name: (_ANY_TIME, name))
            described = await self._described(op, db, shown.items)
        held = await self._held(op, shown.items)
        return shown.map(lambda name: self._row(name, described[name], held.get(name, {})))

    async def _described(
        self, op: Operation, db: Reader, buckets: Sequence[str]
    ) -> dict[str, "_Described"]:
        """Buckets by their names; in a few statements, however many they are."""
        ids: dict[str, list[str]] = {kind.value: [] for kind in TargetKind}
        for bucket in buckets:
            kind, _, target_id = bucket.partition(":")
            ids[kind].append(target_id)
        of_users, of_groups = ids[TargetKind.USER], ids[TargetKind.GROUP]
        shared = await repository.shared_by(op, db, of_groups) if of_groups else {}
        applied = await applicable_to(op, db, of_users) if of_users else {}
        names = await repository.names(op, db, of_users, of_groups) if buckets else {}
        found = {}
        for bucket in buckets:
            kind, _, target_id = bucket.partition(":")
            profiles = shared.get(target_id, []) + [
                each.profile for each in applied.get(target_id, ()) if each.bucket == bucket
            ]
            found[bucket] = _Described(TargetKind(kind), target_id, names.get(target_id), profiles)
        return found

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

    def _row(self, bucket: str, of: "_Described", held: Amounts) -> wire.QuotaUsage:
        bounds = [*of.profiles]
        if self._maximum is not None and of.kind is TargetKind.USER:
            bounds.append(self._maximum)
        caps: dict[Resource, int] = {}
        for each in bounds:
            for resource, most in each.caps.items():
                caps[resource] = min(most, caps.get(resource, most))
        return wire.QuotaUsage(
            bucket=bucket,
            kind=wire.QuotaTargetKind(of.kind.value),
            id=of.target_id,
            name=of.name,
            profiles=[each.id for each in of.profiles],
            current={r.value: held.get(r, 0) for r in Resource},
            cap={r.value: caps.get(r) for r in Resource},
            remaining={
                r.value: max(0, caps[r] - held.get(r, 0)) if r in caps else None for r in Resource
            },
        )


@dataclass(frozen=True, slots=True)
class _Described:
    """Whose a bucket is, and what bounds it. `name`: None if it is gone."""

    kind: TargetKind
    target_id: str
    name: str | None
    profiles: Sequence[Profile]
