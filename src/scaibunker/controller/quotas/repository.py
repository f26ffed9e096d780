"""The SQL of profiles and assignments. A caller reaches those of the tenants in its reach, and the
platform's profiles, which apply to everybody."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    and_,
    delete,
    insert,
    or_,
    select,
    union_all,
    update,
)

from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.quotas.applicable import profile
from scaibunker.controller.quotas.domain import Assignment, Mode, Profile, TargetKind
from scaibunker.controller.quotas.tables import quota_assignments, quota_holds, quota_profiles
from scaigrid.db import Reader, Writer
from scaigrid.groups.domain import Group
from scaigrid.groups.tables import groups
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere, of_tenant, of_tenant_or_shared
from scaigrid.tenancy.tables import users


def _visible(op: Operation) -> ColumnElement[bool]:
    tenant = quota_profiles.c.tenant_id
    return of_tenant_or_shared(op, tenant, tenant.is_(None))


async def get(op: Operation, db: Reader, profile_id: str) -> Profile | None:
    """The profile of that id, if the caller may know of it."""
    row = await db.row(
        select(quota_profiles).where(quota_profiles.c.id == profile_id, _visible(op))
    )
    return profile(row) if row else None


async def locked(op: Operation, db: Writer, profile_id: str) -> Profile | None:
    """The same, held until the transaction ends: nobody assigns it while it is deleted."""
    this = select(quota_profiles).where(quota_profiles.c.id == profile_id, _visible(op))
    row = await db.row(this.with_for_update())
    return profile(row) if row else None


async def listing(op: Operation, db: Reader, page: PageRequest) -> Slice[Profile]:
    """Profiles that the caller may know of, newest first."""
    c = quota_profiles.c
    query = newest_first(select(quota_profiles).where(_visible(op)), c.created_at, c.id, page)
    rows = await db.rows(query)
    return page.slice([profile(row) for row in rows], lambda p: (p.created_at, p.id))


async def add(op: Operation, db: Writer, made: Profile) -> None:  # noqa: ARG001
    """Store a new profile. Raises IntegrityError if its owner has one of that name."""
    values = {**asdict(made), "owner": made.tenant_id or ""}
    await db.execute(insert(quota_profiles).values(values))


async def change(op: Operation, db: Writer, profile_id: str, values: Mapping[str, Any]) -> None:
    """Change a profile. Raises IntegrityError if its owner has another one of that name."""
    this = quota_profiles.c.id == profile_id
    await db.execute(update(quota_profiles).where(this, _visible(op)).values(**values))


async def remove(op: Operation, db: Writer, profile_id: str) -> None:
    """Delete a profile and its assignments."""
    whole = op.as_platform("assignments of a profile that goes")
    of = quota_assignments.c.profile_id == profile_id
    await db.execute(delete(quota_assignments).where(of, everywhere(whole, quota_assignments)))
    this = quota_profiles.c.id == profile_id
    await db.execute(delete(quota_profiles).where(this, _visible(op)))


async def assignments(
    op: Operation, db: Reader, profile_id: str, page: PageRequest
) -> Slice[Assignment]:
    """A profile's assignments in the tenants that the caller reaches, newest first."""
    c = quota_assignments.c
    query = select(quota_assignments).where(c.profile_id == profile_id, *_standing(op))
    rows = await db.rows(newest_first(query, c.created_at, c.id, page))
    return page.slice([_assignment(row) for row in rows], lambda a: (a.created_at, a.id))


async def assignment(
    op: Operation, db: Reader, profile_id: str, assignment_id: str
) -> Assignment | None:
    """One of a profile's assignments."""
    c = quota_assignments.c
    this = (c.id == assignment_id) & (c.profile_id == profile_id)
    row = await db.row(select(quota_assignments).where(this, *_standing(op)))
    return _assignment(row) if row else None


async def assignment_of(
    op: Operation, db: Reader, kind: TargetKind, target_id: str
) -> Assignment | None:
    """The assignment that a user or a group has."""
    c = quota_assignments.c
    this = (c.target_kind == kind.value) & (c.target_id == target_id)
    row = await db.row(select(quota_assignments).where(this, of_tenant(op, c.tenant_id)))
    return _assignment(row) if row else None


async def assign(op: Operation, db: Writer, made: Assignment) -> None:  # noqa: ARG001
    """Store an assignment. Raises IntegrityError if its target has one."""
    await db.execute(insert(quota_assignments).values(asdict(made)))


async def unassign(op: Operation, db: Writer, assignment_id: str) -> None:
    """Delete an assignment."""
    c = quota_assignments.c
    this = c.id == assignment_id
    await db.execute(delete(quota_assignments).where(this, of_tenant(op, c.tenant_id)))


async def group(op: Operation, db: Reader, group_id: str) -> Group | None:
    """A group of a tenant that the caller reaches, whoever is in it."""
    this = (groups.c.id == group_id) & of_tenant(op, groups.c.tenant_id)
    row = await db.row(select(groups).where(this))
    return Group(**row) if row else None


async def buckets(op: Operation, db: Reader, after: str, limit: int) -> list[str]:
    """Buckets of the tenants that the caller reaches of which something is held, or that have a
    profile of their own: the next `limit` names in their order."""
    h, a = quota_holds.c, quota_assignments.c
    held = (
        select(h.bucket)
        .join(bunkers, bunkers.c.id == h.bunker_id)
        .where(of_tenant(op, bunkers.c.tenant_id), h.bucket > after)
        .distinct()
        .order_by(h.bucket)
        .limit(limit)
    )
    kind, _, target_id = after.partition(":")
    own = (
        select(a.target_kind, a.target_id)
        .where(
            or_(a.target_kind > kind, and_(a.target_kind == kind, a.target_id > target_id)),
            a.mode != Mode.PER_USER.value,
            *_standing(op),
        )
        .order_by(a.target_kind, a.target_id)
        .limit(limit)
    )
    found = set(await db.values(held))
    found |= {f"{row['target_kind']}:{row['target_id']}" for row in await db.rows(own)}
    return sorted(found)[:limit]


async def shared_by(
    op: Operation, db: Reader, group_ids: Collection[str]
) -> dict[str, list[Profile]]:
    """The profiles whose caps groups share that are still there, by group; one of each at most."""
    whole = op.as_platform("quotas of groups")
    a = quota_assignments.c
    query = (
        select(quota_profiles, a.target_id)
        .join(quota_assignments, a.profile_id == quota_profiles.c.id)
        .join(groups, groups.c.id == a.target_id)
        .where(
            a.target_kind == TargetKind.GROUP.value,
            a.target_id.in_(group_ids),
            a.mode == Mode.SHARED.value,
            everywhere(whole, quota_assignments),
            everywhere(whole, quota_profiles),
            everywhere(whole, groups),
        )
    )
    return {row["target_id"]: [profile(row)] for row in await db.rows(query)}


async def names(
    op: Operation, db: Reader, user_ids: Collection[str], group_ids: Collection[str]
) -> dict[str, str]:
    """What users and groups that the caller reaches are called, by their ids."""
    of_users = select(users.c.id, users.c.name).where(
        users.c.id.in_(user_ids), of_tenant(op, users.c.tenant_id)
    )
    of_groups = select(groups.c.id, groups.c.name).where(
        groups.c.id.in_(group_ids), of_tenant(op, groups.c.tenant_id)
    )
    return {row["id"]: row["name"] for row in await db.rows(union_all(of_users, of_groups))}


def _standing(op: Operation) -> tuple[ColumnElement[bool], ...]:
    """Assignments that the caller reaches and whose target is still there. Users always are; a
    group that is deleted leaves its assignment behind, which bounds nobody."""
    a = quota_assignments.c
    there = select(groups.c.id).where(of_tenant(op, groups.c.tenant_id))
    is_there = or_(a.target_kind == TargetKind.USER.value, a.target_id.in_(there))
    return of_tenant(op, a.tenant_id), is_there


def _assignment(row: RowMapping) -> Assignment:
    return Assignment(
        **{
            **row,
            "target_kind": TargetKind(row["target_kind"]),
            "mode": Mode(row["mode"]),
        }
    )
