"""Groups, and which one may be above which."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from scaigrid.errors import ValidationFailed

MAX_DEPTH = 16
"""Levels, the highest group's included."""
MAX_GROUPS = 10_000
"""Groups of one tenant."""

Parents = Mapping[str, str | None]
"""Each group of a tenant with the one above it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Users under a name. What a group's custom roles give, the groups below it have too."""

    id: str
    tenant_id: str
    parent_id: str | None
    name: str
    created_at: datetime


def check_parent(parents: Parents, group_id: str, parent_id: str | None) -> None:
    """Raise ValidationFailed if the group cannot be moved (or put, if it is new) below that one."""
    above = 0
    at = parent_id
    while at is not None and above <= MAX_DEPTH:
        if at == group_id:
            raise ValidationFailed.of("parent_id", "is the group itself or one below it")
        above += 1
        at = parents.get(at)
    if above + _height(parents, group_id) > MAX_DEPTH:
        raise ValidationFailed.of("parent_id", f"would nest groups more than {MAX_DEPTH} deep")


def _height(parents: Parents, group_id: str) -> int:
    """The levels of a group and of what is below it."""
    children: dict[str, list[str]] = {}
    for group, parent in parents.items():
        if parent is not None:
            children.setdefault(parent, []).append(group)
    height, level = 0, [group_id]
    while level and height <= MAX_DEPTH:
        height += 1
        level = [child for group in level for child in children.get(group, ())]
    return height
