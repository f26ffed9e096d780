"""Who is doing what: the first argument of every service and repository call.

There is no query without a caller. A person's operation reaches its own tenant only
(`tenancy.scope`); the platform's own loops act as `System`, which reaches all of them.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from scaigrid.clock import Clock
from scaigrid.errors import PermissionDenied
from scaigrid.ids import new_token


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, as its credential proved it. `permissions` are resolved from its roles."""

    user_id: str
    tenant_id: str
    name: str
    role: str
    permissions: AbstractSet[str]

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


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, or one pass of a loop.

    `token` is what the id of the resource that the operation makes is built from: a request that
    is repeated under the same idempotency key has the same token, so that it finds what an
    attempt that died half way has made. `resumed` says that there was such an attempt.
    """

    caller: Caller | System
    request_id: str
    clock: Clock
    token: str = field(default_factory=new_token)
    resumed: bool = False

    def now(self) -> datetime:
        """The time, UTC."""
        return self.clock.now()

    @property
    def user(self) -> Caller:
        """The caller as a user. A loop that asks for it is a programming error."""
        if isinstance(self.caller, Caller):
            return self.caller
        raise TypeError(f"{self.caller.name} acts for no user")


def system_operation(name: str, clock: Clock) -> Operation:
    """An operation of the platform's own."""
    return Operation(System(name), f"sys_{name}", clock)
