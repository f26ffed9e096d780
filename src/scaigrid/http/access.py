"""Who may use an operation. One of these is part of every declaration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from starlette.datastructures import QueryParams
from starlette.requests import Request

from scaigrid import logs
from scaigrid.auth.bearer import Authenticator, bearer, check_service_token
from scaigrid.clock import Clock
from scaigrid.errors import (
    ModuleNotEnabled,
    PermissionDenied,
    ServiceTokenInvalid,
    TokenInvalid,
    TokenMissing,
)
from scaigrid.http.address import address_of, source_of
from scaigrid.limits.service import RateLimits
from scaigrid.operation import Caller, Operation, System
from scaigrid.permissions.domain import Role


@dataclass(frozen=True, slots=True)
class Public:
    """Anybody, without a credential."""

    summary = "No credential is needed."
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """Every caller with a good credential."""

    summary = "Any valid credential; no permission is needed."
    keys: tuple[str, ...] = ()


class Service:
    """Another part of the system, by a service token; `name` is how the logs call it.

    Any one of its `tokens` will do: there are several while one is being replaced.
    """

    __slots__ = ("name", "tokens")
    keys: tuple[str, ...] = ()

    def __init__(self, name: str, *tokens: str) -> None:
        self.name = name
        self.tokens = tokens

    @property
    def summary(self) -> str:
        """For the reference."""
        return f"The {self.name}'s service token."


class Grant(Protocol):
    """What a capability says: whose it is, and what the module that has signed it makes of it."""

    @property
    def id(self) -> str:
        """For logs."""
        ...

    @property
    def tenant_id(self) -> str:
        """Whose rights it has."""
        ...


Verify = Callable[[str, datetime], Grant]
"""From a token to what it grants now. Raises ServiceTokenInvalid; asks nobody, neither database nor
network, so that it works where there is neither."""


class Delegated:
    """Another part of the system by its service token, or whoever shows a capability, which such a part
    has signed and which itself says what it allows: the operation's `grant`, for the endpoint to judge.
    `name` is how the logs call its bearers.
    """

    __slots__ = ("name", "service", "verify")
    keys: tuple[str, ...] = ()

    def __init__(self, service: Service, name: str, verify: Verify) -> None:
        self.service = service
        self.name = name
        self.verify = verify

    @property
    def summary(self) -> str:
        """For the reference."""
        return f"The {self.service.name}'s service token, or a {self.name} for this."


class Needs:
    """A caller that holds any one of `keys`."""

    __slots__ = ("keys",)

    def __init__(self, *keys: str) -> None:
        self.keys = tuple(str(key) for key in keys)

    @property
    def summary(self) -> str:
        """For the reference."""
        return "Permission: " + " or ".join(f"`{key}`" for key in self.keys) + "."


class Roles:
    """A caller whose role is one of `roles`; how far it reaches is for `tenancy.scope`."""

    __slots__ = ("roles",)
    keys: tuple[str, ...] = ()

    def __init__(self, *roles: Role) -> None:
        self.roles = roles

    @property
    def summary(self) -> str:
        """For the reference."""
        return "Role: " + " or ".join(f"`{role}`" for role in self.roles) + "."


ADMINS = Roles(Role.SUPER_ADMIN, Role.PARTNER_ADMIN, Role.TENANT_ADMIN)
"""Whoever administers something; each within its reach."""
PARTNER_ADMINS = Roles(Role.SUPER_ADMIN, Role.PARTNER_ADMIN)
SUPER_ADMINS = Roles(Role.SUPER_ADMIN)

Personal = Signed | Needs | Roles
"""What takes a caller's own credential."""
Impersonal = Public | Service | Delegated
"""What can be judged without a look at who there is."""
Access = Impersonal | Personal


class Claims(Protocol):
    """What a request asks for beyond its route's permission, judged before it is validated.

    `body` is the JSON as it came, so anything may be in it. Raises an error of the kind DENIED.
    """

    def __call__(self, op: Operation, query: QueryParams, body: Mapping[str, Any]) -> None: ...


class Gate(Protocol):
    """Turns a request into an operation, or refuses it."""

    async def admit(self, request: Request, access: Access, module: str | None = None) -> Operation:
        """The operation of this request, which is one of a `module`, or of the platform."""
        ...


class ImpersonalGate:
    """The gate of a process that knows no persons: it has no database to know them from."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def admit(self, request: Request, access: Access, module: str | None = None) -> Operation:  # noqa: ARG002
        """As `Gate` has it. Raises an error of the kind UNAUTHENTICATED."""
        if isinstance(access, Personal):
            raise TypeError("this process has no operations for persons")
        return admit_impersonal(request, access, self._clock)


def admit_impersonal(request: Request, access: Impersonal, clock: Clock) -> Operation:
    """The operation of a request that is no person's."""
    request_id = request.scope["request_id"]
    header = request.headers.get("authorization")
    match access:
        case Public():
            return Operation(System("public"), request_id, clock)
        case Service():
            check_service_token(header, *access.tokens)
            return _of_service(request, System(access.name), clock)
        case Delegated(service=service):
            token = bearer(header)
            try:
                check_service_token(header, *service.tokens)
            except ServiceTokenInvalid:
                grant = access.verify(token, clock.now())
                return _of_service(request, System(access.name), clock, grant)
            return _of_service(request, System(service.name), clock)


def _of_service(
    request: Request, service: System, clock: Clock, grant: Grant | None = None
) -> Operation:
    _proven(request, service)
    return Operation(service, request.scope["request_id"], clock, grant=grant)


class PlatformGate:
    """The platform's own gate."""

    def __init__(self, authenticator: Authenticator, limits: RateLimits, clock: Clock) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._clock = clock

    async def admit(self, request: Request, access: Access, module: str | None = None) -> Operation:
        """The operation of this request, which is one of a `module`, or of the platform.

        Raises an error of the kinds UNAUTHENTICATED, LIMITED or DENIED.
        """
        if isinstance(access, Impersonal):
            return admit_impersonal(request, access, self._clock)
        header = request.headers.get("authorization")
        caller = await self._caller(request, header)
        _proven(request, caller)
        judgement = await self._limits.callers.judge(caller)
        if judgement is not None:
            request.state.headers = judgement.headers
            if judgement.is_refused:
                raise judgement.refusal()
        if caller.barred is not None:
            raise caller.barred
        if module is not None and module in caller.disabled_modules:
            raise ModuleNotEnabled
        match access:
            case Roles() if caller.role not in access.roles:
                raise PermissionDenied.of_role(*access.roles)
            case Needs():
                caller.require(*access.keys)
        return Operation(caller, request.scope["request_id"], self._clock)

    async def _caller(self, request: Request, header: str | None) -> Caller:
        """Whose credential it is. Guesses are counted; after too many from one place, no new
        credential is looked at."""
        source = source_of(address_of(request.scope))
        strangers = self._limits.strangers
        strangers.check(source, header)
        try:
            caller = await self._authenticator.caller(header)
        except (TokenMissing, TokenInvalid):
            await strangers.fail(source, header)
            raise
        strangers.welcome(header)
        return caller


def _proven(request: Request, caller: Caller | System) -> None:
    """Who it is is known from here on, even if the request is refused: to the logs, and to the
    audit log."""
    logs.of_caller(caller)
    request.state.caller = caller
