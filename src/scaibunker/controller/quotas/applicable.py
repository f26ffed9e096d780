"""Which profiles apply to a user, and which bucket each of them bounds."""

from dataclasses import fields

from sqlalchemy import RowMapping, and_, or_, select

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
from scaigrid.groups.hierarchy import groups_of
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

_PROFILE = [field.name for field in fields(Profile)]


async def applicable(op: Operation, db: Reader, user_id: str) -> list[Applied]:
    """The profiles of the user and of every group that it is in, directly or through others; if
    there are none, the platform's defaults."""
    whole = op.as_platform("quotas of a user")
    a, p = quota_assignments.c, quota_profiles.c
    of_user = and_(a.target_kind == TargetKind.USER.value, a.target_id == user_id)
    of_groups = and_(
        a.target_kind == TargetKind.GROUP.value, a.target_id.in_(groups_of(whole, user_id))
    )
    assigned = (
        select(quota_profiles, a.target_kind, a.target_id, a.mode)
        .join(quota_assignments, a.profile_id == p.id)
        .where(
            or_(of_user, of_groups),
            everywhere(whole, quota_assignments),
            everywhere(whole, quota_profiles),
        )
        .order_by(p.id, a.target_id)
    )
    found = [Applied(profile(row), _bucket(row, user_id)) for row in await db.rows(assigned)]
    if found:
        return found
    defaults = select(quota_profiles).where(
        p.tenant_id.is_(None), everywhere(whole, quota_profiles)
    )
    rows = await db.rows(defaults.order_by(p.id))
    return [Applied(profile(row), user_bucket(user_id)) for row in rows]


def profile(row: RowMapping) -> Profile:
    """A profile from its row."""
    return Profile(**{name: row[name] for name in _PROFILE})


def _bucket(row: RowMapping, user_id: str) -> str:
    if row["mode"] == Mode.SHARED:
        return group_bucket(row["target_id"])
    return user_bucket(user_id)
