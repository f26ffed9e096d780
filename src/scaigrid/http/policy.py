"""The policy table: what each operation answers to whom, computed from the declarations.

A cell is an operation, a kind of caller, and whose the thing is that the request names.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scaigrid.errors import (
    GridError,
    PermissionDenied,
    ServiceTokenInvalid,
    TokenInvalid,
    TokenMissing,
    ValidationFailed,
)
from scaigrid.http.access import ADMINS, Delegated, Needs, Personal, Public, Roles, Service
from scaigrid.http.resources import Reach, Relation, Resource
from scaigrid.http.routes import Declaration
from scaigrid.permissions.domain import Permissions, Role

Refusal = type[GridError]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of caller. Without a role it is no person: it has a service token, a capability for what
    it asks for, or nothing."""

    name: str
    role: Role | None = None
    keys: frozenset[str] = frozenset()
    service: bool = False
    capability: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """An operation on one relation; None if it names nothing. In the order of the kinds: the
    refusal of each, or None if it is let in."""

    declaration: Declaration
    relation: Relation | None
    outcomes: tuple[Refusal | None, ...]


def kinds(declarations: Iterable[Declaration], permissions: Permissions) -> list[Kind]:
    """All kinds of callers. A user is there twice: as it is made, and with every permission that
    does not make it an administrator."""
    admin = {key for each in declarations for thing in each.resources for key in thing.admin}
    return [
        Kind("no credential"),
        Kind("service token", service=True),
        Kind("capability", capability=True),
        Kind(Role.TENANT_VIEWER.value, Role.TENANT_VIEWER),
        Kind(Role.TENANT_USER.value, Role.TENANT_USER),
        Kind("tenant_user with permissions", Role.TENANT_USER, permissions.grantable - admin),
        *(
            Kind(role.value, role, permissions.of(role))
            for role in (Role.TENANT_ADMIN, Role.PARTNER_ADMIN, Role.SUPER_ADMIN)
        ),
    ]


def table(declarations: Sequence[Declaration], callers: Sequence[Kind]) -> Iterator[Row]:
    """All rows."""
    for each in declarations:
        for relation in relations(each):
            yield Row(each, relation, tuple(refusal(each, kind, relation) for kind in callers))


def relations(declaration: Declaration) -> tuple[Relation | None, ...]:
    """Whose the things can be that a request names: those of a request are all alike."""
    shared = [
        set(thing.relations) for thing in declaration.resources if thing.reach is not Reach.ALL
    ]
    if not shared:
        return (None,)
    return tuple(relation for relation in Relation if all(relation in each for each in shared))


def refusal(declaration: Declaration, kind: Kind, relation: Relation | None) -> Refusal | None:
    """What a caller of that kind is refused with; None if it is let in."""
    access = declaration.access
    if isinstance(access, Public):
        return None
    if kind.role is None and not kind.service and not kind.capability:
        return TokenMissing
    if isinstance(access, Delegated):
        return None if kind.service or kind.capability else ServiceTokenInvalid
    if isinstance(access, Service):
        return None if kind.service else ServiceTokenInvalid
    if kind.role is None:
        return TokenInvalid
    if not _has_access(access, kind):
        return PermissionDenied
    for thing in declaration.resources:
        if relation is not None and not _reaches(thing, kind, kind.role, relation):
            return thing.missing
    if relation is Relation.OWN and declaration.not_on_oneself:
        return ValidationFailed
    return None


def _has_access(access: Personal, kind: Kind) -> bool:
    match access:
        case Roles():
            return kind.role in access.roles
        case Needs():
            return not kind.keys.isdisjoint(access.keys)
        case _:
            return True


def _reaches(thing: Resource, kind: Kind, role: Role, relation: Relation) -> bool:
    if relation in (Relation.OWN, Relation.SHARED) or thing.reach is Reach.ALL:
        return True
    match thing.reach:
        case Reach.OWNER if kind.keys.isdisjoint(thing.admin):
            return False
        case Reach.ADMINISTERED if role not in ADMINS.roles:
            return False
    return relation in _WITHIN[role]


_TENANT = frozenset({Relation.SAME_TENANT})
_WITHIN = {
    Role.TENANT_VIEWER: _TENANT,
    Role.TENANT_USER: _TENANT,
    Role.TENANT_ADMIN: _TENANT,
    Role.PARTNER_ADMIN: _TENANT | {Relation.SAME_PARTNER},
    Role.SUPER_ADMIN: _TENANT | {Relation.SAME_PARTNER, Relation.FOREIGN},
}
