"""Which profiles apply to a user, and which bucket each of them bounds."""

from collections.abc import Collection
from dataclasses import fields

from sqlalchemy import RowMapping, select, union_all

from scaibunker.controller.quotas.domain import (
    Applied,
    Mode,
    Profile,
    TargetKind,
    group_bucket,
    user_bucket,
)
from scaibunker.controller.quotas.tables import quota_assignments, quota_profiles
from scaigrid.db import Reader
from scaigrid.groups.hierarchy import groups_of_each
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

_PROFILE = [field.name for field in fields(Profile)]


async def applicable(op: Operation, db: Reader, user_id: str) -> list[Applied]:
    """The profiles of the user and of every group that it is in, directly or through others; if
    there are none, the platform's defaults."""
    return (await applicable_to(op, db, [user_id]))[user_id]


async def applicable_to(
    op: Operation, db: Reader, user_ids: Collection[str]
) -> dict[str, list[Applied]]:
    """The same of several users, by user: in two statements at most, however many they are."""
    whole = op.as_platform("quotas of users")
    a, p = quota_assignments.c, quota_profiles.c
    reach = (everywhere(whole, quota_assignments), everywhere(whole, quota_profiles))
    member = groups_of_each(whole, user_ids).subquery("member")
    of_users = (
        select(quota_profiles, a.target_id.label("user_id"), a.target_id, a.mode)
        .join(quota_assignments, a.profile_id == p.id)
        .where(a.target_kind == TargetKind.USER.value, a.target_id.in_(user_ids), *reach)
    )
    of_groups = (
        select(quota_profiles, member.c.user_id, a.target_id, a.mode)
        .join(quota_assignments, a.profile_id == p.id)
        .join(member, a.target_id == member.c.group_id)
        .where(
            a.target_kind == TargetKind.GROUP.value,
            # The join says it too; without this SQLite looks at the assignments of all groups.
            a.target_id.in_(select(member.c.group_id)),
            *reach,
        )
    )
    # Not one SELECT with an OR: each of these finds its assignments by their target.
    found: dict[str, list[Applied]] = {user_id: [] for user_id in user_ids}
    for row in await db.rows(union_all(of_users, of_groups)):
        found[row["user_id"]].append(Applied(profile(row), _bucket(row)))
    if not all(found.values()):
        defaults = select(quota_profiles).where(
            p.tenant_id.is_(None), everywhere(whole, quota_profiles)
        )
        shared = [profile(row) for row in await db.rows(defaults)]
        for user_id, applied in found.items():
            if not applied:
                applied += [Applied(each, user_bucket(user_id)) for each in shared]
    for applied in found.values():
        applied.sort(key=lambda each: (each.profile.id, each.bucket))
    return found


def profile(row: RowMapping) -> Profile:
    """A profile from its row."""
    return Profile(**{name: row[name] for name in _PROFILE})


def _bucket(row: RowMapping) -> str:
    if row["mode"] == Mode.SHARED:
        return group_bucket(row["target_id"])
    return user_bucket(row["user_id"])
