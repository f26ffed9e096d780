"""Tenants, their nested groups and users, and the quota profiles that apply to each user.

A tenant has a group of all, departments in it and teams in these. A few tenants ask for most; what a
group may have follows from what it is expected to ask for, some more and some less, so that bursts
and busy hours meet caps. One tenant in ten has no profile of its own: its users have the platform's.
"""

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from scaibunker.controller.quotas.domain import (
    Applied,
    Assignment,
    Mode,
    Profile,
    TargetKind,
    group_bucket,
    user_bucket,
)

DEPARTMENTS, TEAMS, USERS = 3, 3, 30
"""Of each tenant; teams of each department."""
SKEW = 1.1
"""Of the Zipf distributions by which tenants, and users of a tenant, ask for bunkers."""
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class User:
    """Who asks for bunkers: its groups from the smallest to that of all, and what bounds it."""

    id: str
    tenant_id: str
    teams: tuple[str, ...]
    applied: tuple[Applied, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One group, with the one that it is in."""

    id: str
    tenant_id: str
    parent_id: str | None


class Organisation:
    """All of them. `expected` is how many bunkers are expected at a time at the busiest hour."""

    def __init__(self, chance: random.Random, tenants: int, expected: float) -> None:
        self.groups: list[Group] = []
        self.profiles: list[Profile] = []
        self.assignments: list[Assignment] = []
        self.tenants = [f"ten_{number:04}" for number in range(tenants)]
        self.users: list[User] = []
        default = self._profile(None, "default", concurrent=max(3, round(expected / 200)))
        weights: list[float] = []
        tenant_weights, user_weights = zipf(tenants), zipf(USERS)
        for tenant_id, weight in zip(self.tenants, tenant_weights, strict=True):
            bounded = chance.random() >= 0.1
            members = self._tenant(
                chance, tenant_id, weight * expected, user_weights, default, bounded=bounded
            )
            self.users += members
            weights += [weight * each for each in user_weights]
        self.cumulative = list(itertools.accumulate(weights))

    def pick(self, chance: random.Random) -> User:
        """Somebody, those who ask for more more often."""
        return chance.choices(self.users, cum_weights=self.cumulative)[0]

    def _tenant(
        self,
        chance: random.Random,
        tenant_id: str,
        expected: float,
        user_weights: list[float],
        default: Profile,
        *,
        bounded: bool,
    ) -> list[User]:
        parts = DEPARTMENTS * TEAMS
        whole = self._group(tenant_id, None, "all")
        departments = [self._group(tenant_id, whole, f"d{n}") for n in range(DEPARTMENTS)]
        teams = [
            self._group(tenant_id, each, f"t{n}") for each in departments for n in range(TEAMS)
        ]
        bounds: dict[str, tuple[Profile, Mode]] = {}
        if bounded:
            bounds[whole.id] = self._bound(chance, whole, expected, 1.0, 1.8, Mode.SHARED)
            for group in departments:
                if chance.random() < 0.5:
                    bounds[group.id] = self._bound(
                        chance, group, expected / DEPARTMENTS, 1.2, 2.5, Mode.SHARED
                    )
            for group in teams:
                if chance.random() < 0.5:
                    bounds[group.id] = self._bound(
                        chance, group, expected / parts, 1.0, 3.0, Mode.PER_USER
                    )
        parents = {group.id: group.parent_id for group in (whole, *departments, *teams)}
        users = []
        for number, share in enumerate(user_weights):
            user_id = f"usr_{tenant_id[4:]}x{number:02}"
            of = tuple(each.id for each in chance.sample(teams, chance.choice((1, 1, 1, 2))))
            if bounded and chance.random() < 0.1:
                profile = self._profile(
                    tenant_id, f"user {number}", concurrent=max(2, round(3 * share * expected))
                )
                self._assign(profile, tenant_id, TargetKind.USER, user_id, Mode.INDIVIDUAL)
                own = [Applied(profile, user_bucket(user_id))]
            else:
                own = []
            inherited = [
                Applied(bounds[each][0], _bucket(each, user_id, bounds[each][1]))
                for each in _reached(of, parents)
                if each in bounds
            ]
            applied = own + inherited or [Applied(default, user_bucket(user_id))]
            users.append(User(user_id, tenant_id, of, tuple(applied)))
        return users

    def _bound(
        self,
        chance: random.Random,
        group: Group,
        expected: float,
        least: float,
        most: float,
        mode: Mode,
    ) -> tuple[Profile, Mode]:
        concurrent = max(3, round(expected * chance.uniform(least, most)))
        profile = self._profile(group.tenant_id, f"of {group.id}", concurrent)
        self._assign(profile, group.tenant_id, TargetKind.GROUP, group.id, mode)
        return profile, mode

    def _group(self, tenant_id: str, parent: Group | None, name: str) -> Group:
        parent_id = parent.id if parent else None
        group = Group(f"{parent_id or 'grp_' + tenant_id[4:]}{name}", tenant_id, parent_id)
        self.groups.append(group)
        return group

    def _profile(self, tenant_id: str | None, name: str, concurrent: int) -> Profile:
        profile = Profile(
            id=f"qpf_{len(self.profiles):05}",
            tenant_id=tenant_id,
            name=name,
            description="",
            max_concurrent_bunkers=concurrent,
            max_persistent_bunkers=max(2, concurrent // 2),
            max_cpu_millicores=max(16_000, concurrent * 3000),
            max_memory_mb=max(65_536, concurrent * 8192),
            max_disk_mb=None,
            max_gpu_count=max(8, concurrent // 8),
            per_bunker_max_cpu=None,
            per_bunker_max_memory=None,
            per_bunker_max_disk=None,
            per_bunker_max_gpu=8,
            created_at=_BEGINNING,
        )
        self.profiles.append(profile)
        return profile

    def _assign(
        self, profile: Profile, tenant_id: str, kind: TargetKind, target: str, mode: Mode
    ) -> None:
        number = len(self.assignments)
        self.assignments.append(
            Assignment(
                f"qas_{number:05}", tenant_id, profile.id, kind, target, mode, profile.created_at
            )
        )


def zipf(count: int) -> list[float]:
    """Shares of the whole, each rank's by the distribution."""
    raw = [1 / (rank + 1) ** SKEW for rank in range(count)]
    return [each / sum(raw) for each in raw]


def _reached(groups: tuple[str, ...], parents: dict[str, str | None]) -> list[str]:
    """These groups and all that they are in, each once."""
    found: dict[str, None] = {}
    for group in groups:
        at: str | None = group
        while at is not None:
            found[at] = None
            at = parents[at]
    return list(found)


def _bucket(group_id: str, user_id: str, mode: Mode) -> str:
    return group_bucket(group_id) if mode is Mode.SHARED else user_bucket(user_id)
