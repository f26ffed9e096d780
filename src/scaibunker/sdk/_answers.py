"""What the server's answers mean: records from good ones, exceptions from bad ones.

Pure: bytes and headers in, values or exceptions out. Answers that do not speak this API (a proxy's
error page, another server) become errors that say so; their text is never passed on whole.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from scaibunker.sdk import errors
from scaibunker.sdk.sse import ServerEvent
from scaibunker.wire.api.envelope import ErrorBody
from scaibunker.wire.api.flows import FlowRecord, LossRecord
from scaibunker.wire.codes import Code

M = TypeVar("M", bound=BaseModel)

_MID_STREAM = 200
_BY_STATUS: Mapping[int, type[errors.ApiError]] = {
    401: errors.AuthenticationFailed,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.PayloadTooLarge,
    422: errors.ValidationFailed,
    429: errors.RateLimited,
    507: errors.NoSpace,
}
_BY_CODE: Mapping[str, type[errors.ApiError]] = {
    Code.BUNKER_QUOTA_EXCEEDED: errors.QuotaExceeded,
    Code.FILE_NO_SPACE: errors.NoSpace,
    Code.PAYLOAD_TOO_LARGE: errors.PayloadTooLarge,
    # An error in mid-stream has no status: these are told by their codes, the rest is Unavailable.
    Code.BUNKER_NOT_FOUND: errors.NotFound,
    Code.EXEC_NOT_FOUND: errors.NotFound,
    Code.FILE_NOT_FOUND: errors.NotFound,
    Code.BUNKER_NOT_RUNNING: errors.Conflict,
    Code.VALIDATION_ERROR: errors.ValidationFailed,
}


def envelope(content: bytes) -> dict[str, Any]:
    """The envelope of a good answer, `data` in it unread."""
    fields = _object(content)
    if fields is None or fields.get("status") != "ok" or "data" not in fields:
        raise errors.ResponseInvalid(
            "the answer is not one of this API", hint="check the endpoint's address and path"
        )
    return fields


def record(model: type[M], data: object) -> M:
    """One record."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "data"
        raise errors.ResponseInvalid(
            f"the answer has no valid {model.__name__}: {where}: {first['msg']}",
            hint="client and server may be of different versions",
        ) from None


def event(model: type[M], source: ServerEvent) -> M:
    """The record in an event."""
    return record(model, _object(source.data.encode()))


def flow(line: bytes) -> FlowRecord | LossRecord:
    """The record in a line of a batch of flows."""
    fields = _object(line) or {}
    if "dropped" in fields:
        return record(LossRecord, fields)
    return record(FlowRecord, fields)


def failure(status: int, headers: Mapping[str, str], content: bytes) -> errors.ScaiBunkerError:
    """The exception that a bad answer stands for."""
    if 300 <= status < 400:
        return errors.ResponseInvalid(
            f"the server answered with a redirect ({status}), which is never followed",
            hint="use the address that the server redirects to",
        )
    fields = _object(content) or {}
    try:
        error = ErrorBody.model_validate(fields.get("error"))
    except ValidationError:
        error = ErrorBody(
            code=f"HTTP_{status}", message=f"the server answered {status} and gave no reason"
        )
    return _api_error(
        error,
        status=status,
        request_id=_request_id(fields) or headers.get("x-request-id"),
        retry_after=error.retry_after or _seconds(headers.get("retry-after")),
    )


def stream_error(
    event: ServerEvent, request_id: str | None, exec_id: str | None = None
) -> errors.ScaiBunkerError:
    """The exception that an `error` event stands for."""
    fields = _object(event.data.encode()) or {}
    try:
        error = ErrorBody.model_validate(fields.get("error", fields))
    except ValidationError:
        return errors.StreamBroken("the server ended the stream with an error", exec_id=exec_id)
    return _api_error(
        error,
        status=_MID_STREAM,
        request_id=_request_id(fields) or request_id,
        retry_after=error.retry_after,
    )


def connection_failure(error: httpx.HTTPError, base_url: str) -> errors.ConnectionFailed:
    """The exception that a failure of the transport stands for."""
    why = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return errors.AnswerTimedOut(f"no connection to {base_url} in time", may_have_run=False)
    if isinstance(error, httpx.TimeoutException):
        return errors.AnswerTimedOut(f"{base_url} did not answer in time", may_have_run=True)
    if isinstance(error, httpx.ConnectError | httpx.ProxyError | httpx.UnsupportedProtocol):
        return errors.ConnectionFailed(
            f"cannot connect to {base_url}: {why}",
            may_have_run=False,
            hint="is the server running, and the address right?",
        )
    return errors.ConnectionFailed(f"lost the connection to {base_url}: {why}", may_have_run=True)


def _api_error(
    error: ErrorBody, *, status: int, request_id: str | None, retry_after: float | None
) -> errors.ApiError:
    is_down = status >= 500 or status == _MID_STREAM
    by_status = _BY_STATUS.get(status, errors.Unavailable if is_down else errors.ApiError)
    family = _BY_CODE.get(error.code, by_status)
    return family(
        error.code,
        error.message,
        status=status,
        hint=error.hint,
        details=tuple(error.details),
        request_id=request_id,
        retry_after=retry_after,
    )


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _request_id(fields: Mapping[str, Any]) -> str | None:
    meta = fields.get("meta")
    found = meta.get("request_id") if isinstance(meta, dict) else None
    return found if isinstance(found, str) else None


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds; the form with a date is not used by this API."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
