"""The one table from errors to HTTP, and the handlers that use it."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from scaigrid.errors import (
    GridError,
    InternalError,
    Kind,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    ValidationFailed,
    default_message,
    detail,
)
from scaigrid.http.envelope import JSON, Detail, ErrorBody, Failure, Meta

log = structlog.get_logger(__name__)

STATUS: dict[Kind, HTTPStatus] = {
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.DENIED: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.METHOD: HTTPStatus.METHOD_NOT_ALLOWED,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Kind.RANGE: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    Kind.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Kind.UPSTREAM: HTTPStatus.BAD_GATEWAY,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.NO_SPACE: HTTPStatus.INSUFFICIENT_STORAGE,
}

MAX_DETAILS = 50


def status_of(error: GridError | type[GridError]) -> int:
    """The HTTP status of an error."""
    return STATUS[error.kind].value


def body_of(error: GridError) -> ErrorBody:
    """What a caller is told."""
    return ErrorBody(
        code=error.code,
        message=error.message,
        hint=error.hint,
        details=[Detail(**entry) for entry in error.details[:MAX_DETAILS]],
        retry_after=error.retry_after,
    )


def failure(error: GridError, request_id: str) -> Response:
    """An error in its envelope."""
    body = Failure(error=body_of(error), meta=Meta(request_id=request_id))
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RangeNotSatisfiable) and error.size is not None:
        headers["Content-Range"] = f"bytes */{error.size}"
    if error.kind is Kind.TOO_LARGE:
        headers["Connection"] = "close"  # what is left of the body is not worth reading
    return Response(body.model_dump_json(), status_of(error), headers, media_type=JSON)


def from_validation(faults: Iterable[Any]) -> ValidationFailed:
    """The refusal for what pydantic found. Never says what the value was: it may be a secret."""
    details = [_fault(fault) for fault in faults]
    named = ", ".join(dict.fromkeys(str(entry["field"]) for entry in details[:5]))
    return ValidationFailed(f"The request is not valid: {named}.", details=details)


def _fault(fault: dict[str, Any]) -> dict[str, Any]:
    # A part in brackets is pydantic's own: which form of a value was tried, or that a key is meant.
    where = [str(part) for part in fault.get("loc", ()) if not str(part).startswith("[")]
    if len(where) > 1 and where[0] in {"body", "query", "path", "header"}:
        where = where[1:]
    message = str(fault.get("msg", "is not valid")).removeprefix("Value error, ")
    return detail(".".join(where)[:256] or "body", message[:512])


def responses(errors: Iterable[type[GridError]]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries for the errors of an operation, one for each status."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in sorted(set(errors), key=lambda e: (e.code, e.__module__, e.__qualname__)):
        entry = by_status.setdefault(
            status_of(error), {"model": Failure, "description": "", "x-codes": []}
        )
        if error.code not in entry["x-codes"]:
            entry["x-codes"].append(error.code)
        line = f"`{error.code}`: {default_message(error)}"
        if line not in entry["description"].split("\n\n"):
            entry["description"] = "\n\n".join(filter(None, [entry["description"], line]))
    return dict(sorted(by_status.items(), key=lambda item: int(item[0])))


def install(app: FastAPI) -> None:
    """Make every error leave in the envelope."""
    app.add_exception_handler(GridError, _on_grid_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


def _request_id(request: Request) -> str:
    return str(request.scope["request_id"])


async def _on_grid_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GridError):
        raise error
    if error.kind is Kind.INTERNAL:
        log.error("request failed", exc_info=error)
    return failure(error, _request_id(request))


async def _on_validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return failure(from_validation(error.errors()), _request_id(request))


async def _on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: unknown routes and methods."""
    if not isinstance(error, HTTPException):
        raise error
    known: GridError
    match error.status_code:
        case 404:
            known = NotFound("No such route.")
        case 405:
            known = MethodNotAllowed()
        case status if status < 500:
            known = ValidationFailed("The request could not be read.")
        case _:
            known = InternalError()
    answer = failure(known, _request_id(request))
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    """Those that the path has: each is a route of its own, and the framework tells of the first alone."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is Match.PARTIAL:
            found |= route.methods or set()
    return sorted(found)
