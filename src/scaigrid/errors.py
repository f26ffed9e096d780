"""Errors that a caller may see, free of any transport.

An error names a `code` that clients branch on and a `kind` that says what sort of thing went
wrong. The HTTP status of a kind is in `http.errors`, nowhere else. A class's docstring is its
default message. Modules bring their own subclasses.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar

Details = Sequence[Mapping[str, Any]]


class Kind(StrEnum):
    """What sort of thing went wrong."""

    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    METHOD = "method"  # the route exists, the method does not
    CONFLICT = "conflict"  # the resource is in a state that forbids it
    TOO_LARGE = "too_large"
    RANGE = "range"  # a byte range outside the content
    INVALID = "invalid"
    LIMITED = "limited"  # a quota or rate is used up
    INTERNAL = "internal"
    UPSTREAM = "upstream"  # a lower tier did not answer as it should
    UNAVAILABLE = "unavailable"  # no capacity now
    NO_SPACE = "no_space"


class GridError(Exception):
    """Something went wrong."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    code: ClassVar[str] = "INTERNAL_ERROR"
    hint: str | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        details: Details = (),
        retry_after: float | None = None,
    ) -> None:
        self.message = message or default_message(type(self))
        if hint is not None:
            self.hint = hint
        self.details = [dict(detail) for detail in details]
        self.retry_after = retry_after
        super().__init__(self.message)


def default_message(error: type[GridError]) -> str:
    """The first paragraph of the class's docstring, on one line."""
    return " ".join((error.__doc__ or "").split("\n\n")[0].split())


def detail(field: str, message: str, **more: Any) -> dict[str, Any]:
    """One entry of an error's `details`."""
    return {"field": field, "message": message, **more}


class InternalError(GridError):
    """The server failed to answer this request; the fault is on our side."""

    hint = "Try again; if it stays, give the request id to the operator."


class TokenMissing(GridError):
    """The request carries no credential."""

    kind = Kind.UNAUTHENTICATED
    code = "AUTH_TOKEN_MISSING"
    hint = "Send an API key, or a token, as `Authorization: Bearer ...`."


class TokenInvalid(GridError):
    """The credential is not known, has expired or was revoked."""

    kind = Kind.UNAUTHENTICATED
    code = "AUTH_TOKEN_INVALID"
    hint = "Check the API key or the token, or get a new one."


class AuthUnavailable(GridError):
    """Whether the token is good cannot be told now: the identity provider's keys cannot be read."""

    kind = Kind.UNAVAILABLE
    code = "AUTH_UNAVAILABLE"
    hint = "Try again in a moment with the same token. API keys are not concerned."


class TenantSuspended(GridError):
    """The caller's tenant is suspended."""

    kind = Kind.DENIED
    code = "TENANT_SUSPENDED"
    hint = "Ask the operator of the platform."


class UserDisabled(GridError):
    """The caller's user is disabled."""

    kind = Kind.DENIED
    code = "USER_DISABLED"
    hint = "Ask an administrator of the tenant."


class ModuleNotEnabled(GridError):
    """The module is not enabled for the caller's tenant."""

    kind = Kind.DENIED
    code = "MODULE_NOT_ENABLED"
    hint = "An administrator enables it with `POST /v1/modules/{id}/enable`."


class ServiceTokenInvalid(GridError):
    """The service token is wrong."""

    kind = Kind.UNAUTHENTICATED
    code = "SERVICE_TOKEN_INVALID"
    hint = "Give the worker and the controller the same token."


class PermissionDenied(GridError):
    """The caller lacks a permission that this operation needs."""

    kind = Kind.DENIED
    code = "AUTHZ_PERMISSION_DENIED"
    hint = "Ask an administrator of the tenant for the permission that `details` names."

    @classmethod
    def of_role(cls, *roles: str) -> "PermissionDenied":
        """The refusal of a caller whose role is none of these."""
        return cls(
            f"This takes the role {' or '.join(roles)}.",
            hint="Ask somebody who has that role.",
            details=[detail("role", f"{role} is needed", role=role) for role in roles],
        )

    @classmethod
    def lacking(cls, *keys: str) -> "PermissionDenied":
        """The refusal that names what would have sufficed: any one of `keys`."""
        wanted = " or ".join(keys)
        return cls(
            f"The caller lacks the permission {wanted}.",
            details=[detail("permission", f"{key} is needed", permission=key) for key in keys],
        )


class NotFound(GridError):
    """There is nothing here."""

    kind = Kind.NOT_FOUND
    code = "NOT_FOUND"


class MethodNotAllowed(GridError):
    """The route does not know this method."""

    kind = Kind.METHOD
    code = "METHOD_NOT_ALLOWED"


class IdempotencyConflict(GridError):
    """The idempotency key was used for another request."""

    kind = Kind.CONFLICT
    code = "IDEMPOTENCY_CONFLICT"
    hint = "Use a new key for a new request."


class PayloadTooLarge(GridError):
    """The request body is larger than this operation takes."""

    kind = Kind.TOO_LARGE
    code = "PAYLOAD_TOO_LARGE"


class RangeNotSatisfiable(GridError):
    """The range lies outside the content."""

    kind = Kind.RANGE
    code = "RANGE_NOT_SATISFIABLE"

    def __init__(self, message: str | None = None, *, size: int | None = None) -> None:
        super().__init__(message)
        self.size = size
        """Bytes of the content, if that is known."""

    @classmethod
    def of(cls, what: str, size: int) -> "RangeNotSatisfiable":
        """The refusal that says how much there is of it."""
        return cls(f"The {what} has {size} bytes.", size=size)


class ValidationFailed(GridError):
    """The request is not valid."""

    kind = Kind.INVALID
    code = "VALIDATION_ERROR"
    hint = "`details` names each field and the rule it breaks."

    @classmethod
    def of(cls, field: str, message: str, **more: Any) -> "ValidationFailed":
        """A refusal of one field."""
        return cls(f"{field}: {message}", details=[detail(field, message, **more)])


class RateLimited(GridError):
    """Too many requests in too short a time."""

    kind = Kind.LIMITED
    code = "RATE_LIMITED"
    hint = "Wait for `retry_after` seconds."


class ServerStopping(GridError):
    """The server is stopping and has ended this stream; what it watched goes on."""

    kind = Kind.UNAVAILABLE
    code = "SERVER_STOPPING"
    hint = "Connect again."
