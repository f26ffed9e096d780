"""Who is doing what: the first argument of every service and repository call.

There is no query without a caller. How far a person's operation reaches is for its role to say
(`tenancy.scope`): its own tenant, those of its partner, or all; the platform's own loops act as
`System`, which reaches all of them.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from scaigrid.clock import Clock
from scaigrid.errors import GridError, PermissionDenied
from scaigrid.ids import new_token


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, as its credential proved it. `permissions` are resolved from its roles, and
    `partner_id` is its tenant's; `credential_id` is its API key's id, or names its token's subject;
    never the secret. `barred` is why all its calls are refused."""

    user_id: str
    tenant_id: str
    name: str
    role: str
    permissions: AbstractSet[str]
    partner_id: str | None = None
    disabled_modules: AbstractSet[str] = frozenset()
    credential_id: str = ""
    barred: type[GridError] | None = None

    def holds(self, *keys: str) -> bool:
        """Whether the caller has any one of `keys`."""
        return not self.permissions.isdisjoint(keys)

    def require(self, *keys: str) -> None:
        """Raise PermissionDenied unless the caller has any one of `keys`."""
        if not self.holds(*keys):
            raise PermissionDenied.lacking(*keys)


@dataclass(frozen=True, slots=True)
class System:
    """A loop of the platform itself, named for the logs."""

    name: str


@dataclass(slots=True)
class Notes:
    """What the audit log is told of a request beyond the request itself.

    `resource_id` is what a creation has made, `tenant_id` whose the resource is; both come from
    the endpoint's result, or from what an endpoint hands to `take` because its result is silent. `details` are bounded when they are written.
    """

    resource_id: str | None = None
    tenant_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def take(self, result: object) -> None:
        """Remember whom and what an endpoint's result speaks of."""
        made, tenant = getattr(result, "id", None), getattr(result, "tenant_id", None)
        self.resource_id = made if isinstance(made, str) else self.resource_id
        self.tenant_id = tenant if isinstance(tenant, str) else self.tenant_id


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, or one pass of a loop.

    `token` is what the id of the resource that the operation makes is built from: a request that
    is repeated under the same idempotency key has the same token, so that it finds what an
    attempt that died half way has made. `resumed` says that there was such an attempt.
    `grant` is what the capability allows that was shown, if it was one (`http.access.Delegated`).
    """

    caller: Caller | System
    request_id: str
    clock: Clock
    token: str = field(default_factory=new_token)
    resumed: bool = False
    notes: Notes = field(default_factory=Notes, compare=False)
    grant: object | None = None

    def note(self, **details: Any) -> None:
        """Have facts in the details of the request's audit entry: never a secret, never text
        without bounds."""
        self.notes.details.update(details)

    def now(self) -> datetime:
        """The time, UTC."""
        return self.clock.now()

    @property
    def user(self) -> Caller:
        """The caller as a user. A loop that asks for it is a programming error."""
        if isinstance(self.caller, Caller):
            return self.caller
        raise TypeError(f"{self.caller.name} acts for no user")

    def as_platform(self, name: str) -> "Operation":
        """The part of this operation that looks beyond its caller's tenant, and why it must:
        `name` says what for. No row that it finds is shown to the caller."""
        return replace(self, caller=System(name))


def system_operation(name: str, clock: Clock) -> Operation:
    """An operation of the platform's own."""
    return Operation(System(name), f"sys_{name}", clock)
