"""Which groups a user is in, and which groups are in a group: queries over the nesting."""

from collections.abc import Collection

from sqlalchemy import CTE, Select, select

from scaigrid.groups.tables import group_members, groups
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_tenant


def groups_of(op: Operation, user_id: str) -> Select[tuple[str]]:
    """Ids of the groups that a user is in: by itself, or because one of its groups is in them."""
    return select(_above(op, [user_id]).c.id)


def groups_of_each(op: Operation, user_ids: Collection[str]) -> Select[tuple[str, str]]:
    """Pairs of a user, of these, and a group that it is in, in the same sense; each pair once."""
    above = _above(op, user_ids)
    return select(above.c.user_id, above.c.id.label("group_id"))


def _above(op: Operation, user_ids: Collection[str]) -> CTE:
    direct = (
        select(group_members.c.user_id, groups.c.id, groups.c.parent_id)
        .join(groups, groups.c.id == group_members.c.group_id)
        .where(group_members.c.user_id.in_(user_ids), of_tenant(op, groups.c.tenant_id))
    )
    above = direct.cte("groups_above", recursive=True)
    # UNION, not UNION ALL: what is found twice is not followed twice, so that this always ends.
    return above.union(
        select(above.c.user_id, groups.c.id, groups.c.parent_id)
        .join(above, above.c.parent_id == groups.c.id)
        .where(of_tenant(op, groups.c.tenant_id))
    )


def groups_in(op: Operation, group_id: str) -> Select[tuple[str]]:
    """Ids of a group and of all groups in it, at whatever depth."""
    root = select(groups.c.id).where(groups.c.id == group_id, of_tenant(op, groups.c.tenant_id))
    below = root.cte("groups_below", recursive=True)
    below = below.union(
        select(groups.c.id)
        .join(below, groups.c.parent_id == below.c.id)
        .where(of_tenant(op, groups.c.tenant_id))
    )
    return select(below.c.id)


def memberships(op: Operation) -> Select[tuple[str, str]]:
    """Pairs of a group and a user that is in it, at whatever depth, each pair once."""
    roots = select(groups.c.id.label("group_id"), groups.c.id.label("inner_id"))
    tree = roots.where(of_tenant(op, groups.c.tenant_id)).cte("group_tree", recursive=True)
    tree = tree.union(
        select(tree.c.group_id, groups.c.id)
        .join(tree, groups.c.parent_id == tree.c.inner_id)
        .where(of_tenant(op, groups.c.tenant_id))
    )
    return (
        select(tree.c.group_id, group_members.c.user_id)
        .join(group_members, group_members.c.group_id == tree.c.inner_id)
        .distinct()
    )
