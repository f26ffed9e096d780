"""What an operation acts on, declared: who reaches such a thing, and what all others are told.

`tenancy.scope` narrows the queries; this says the same about the operations, for the policy table
(`http.policy`), every cell of which is tested against the running application.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from scaigrid.errors import GridError


class Relation(StrEnum):
    """Whose a thing is, seen from the caller."""

    OWN = "own"  # the caller's own, or the caller itself; a group that it is in, its tenant
    SAME_TENANT = "same tenant"
    SAME_PARTNER = "same partner"  # of another tenant of the caller's partner
    FOREIGN = "foreign"  # of a tenant of another partner, or of none
    SHARED = "shared"  # of the platform, for everybody


class Reach(StrEnum):
    """Who reaches a thing."""

    OWNER = "owner"  # its owner, and who holds an admin permission and reaches its tenant
    ADMINISTERED = "administered"  # whose own it is, and administrators who reach its tenant
    TENANT = "tenant"  # everybody who reaches its tenant
    ALL = "all"  # everybody who may use the operation


class Place(StrEnum):
    """Where a request names a thing."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of thing that a parameter names. `missing` is what is told of one out of reach, as of
    one that does not exist; with one of the `admin` permissions an owner's things are reached."""

    parameter: str
    reach: Reach
    missing: type[GridError]
    relations: tuple[Relation, ...] = (
        Relation.OWN,
        Relation.SAME_TENANT,
        Relation.SAME_PARTNER,
        Relation.FOREIGN,
    )
    admin: tuple[str, ...] = ()
    place: Place = Place.PATH

    def at(self, place: Place, missing: type[GridError] | None = None) -> "Resource":
        """The same kind of thing, named elsewhere in a request."""
        return replace(self, place=place, missing=missing or self.missing)
