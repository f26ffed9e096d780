"""The policy table: a few cells by hand, and that nothing can be left out of it."""

import pytest

from scaigrid.errors import (
    NotFound,
    PermissionDenied,
    ServiceTokenInvalid,
    TokenInvalid,
    TokenMissing,
)
from scaigrid.http.access import ADMINS, Delegated, Needs, Service, Signed
from scaigrid.http.envelope import Meta
from scaigrid.http.policy import Kind, refusal
from scaigrid.http.resources import Reach, Relation, Resource
from scaigrid.http.routes import Routes, one
from scaigrid.permissions.domain import Role

THING = Resource("thing_id", Reach.OWNER, NotFound, admin=("all",))
ANYBODY, MACHINE = Kind("anybody"), Kind("machine", service=True)
BEARER = Kind("bearer", capability=True)
DELEGATED = Delegated(Service("worker", "token"), "capability", lambda token, now: None)  # type: ignore[arg-type,return-value]
USER = Kind("user", Role.TENANT_USER, frozenset({"use"}))
ADMIN = Kind("admin", Role.TENANT_ADMIN, frozenset({"use", "all"}))
ROOT = Kind("root", Role.SUPER_ADMIN, frozenset({"use", "all"}))


async def endpoint(op: object) -> None:
    """Do something."""


def declared(access: object, *resources: Resource, path: str = "/{thing_id}") -> object:
    routes = Routes("/things", "things", *resources)
    routes.add("GET", path, endpoint, access=access, answers=one(Meta))  # type: ignore[arg-type]
    return routes.declared[0]


def test_a_parameter_of_a_path_that_names_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="thing_id"):
        declared(Signed())
    with pytest.raises(TypeError, match="other_id"):
        declared(Signed(), THING, path="/{thing_id}/{other_id}")


@pytest.mark.parametrize(
    ("access", "kind", "relation", "expected"),
    [
        (Needs("use"), ANYBODY, Relation.OWN, TokenMissing),
        (Needs("use"), USER, Relation.OWN, None),
        (Needs("use"), USER, Relation.SAME_TENANT, NotFound),
        (Needs("use"), ADMIN, Relation.SAME_TENANT, None),
        (Needs("use"), ADMIN, Relation.SAME_PARTNER, NotFound),
        (Needs("use"), ROOT, Relation.FOREIGN, None),
        (Needs("more"), ROOT, Relation.OWN, PermissionDenied),
        (ADMINS, USER, Relation.OWN, PermissionDenied),
        (Service("worker", "token"), ROOT, Relation.OWN, ServiceTokenInvalid),
        (Service("worker", "token"), MACHINE, Relation.FOREIGN, None),
        (Service("worker", "token"), BEARER, None, ServiceTokenInvalid),
        (Needs("use"), BEARER, None, TokenInvalid),
        (Signed(), BEARER, None, TokenInvalid),
        (DELEGATED, BEARER, None, None),
        (DELEGATED, MACHINE, None, None),
        (DELEGATED, ROOT, None, ServiceTokenInvalid),
        (DELEGATED, ANYBODY, None, TokenMissing),
    ],
)
def test_a_cell(access: object, kind: Kind, relation: Relation, expected: object) -> None:
    assert refusal(declared(access, THING), kind, relation) is expected  # type: ignore[arg-type]
