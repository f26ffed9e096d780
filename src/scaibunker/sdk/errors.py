"""What can go wrong in the SDK, as exceptions.

    ScaiBunkerError
    ├── ConfigurationError       no endpoint, no key, a profile that cannot be read
    ├── InvalidArgument          a value that the API would refuse whatever its state (a ValueError)
    ├── ConnectionFailed         no answer: refused, no route, name unknown, TLS
    │   └── AnswerTimedOut       the server was reached and did not answer in time
    ├── StreamBroken             a stream ended before its end was announced
    ├── ResponseInvalid          something answered, but not this API
    ├── WaitTimedOut             what was waited for did not happen in time
    ├── BunkerFailed             a bunker that was waited for reached a final state instead
    ├── SnapshotFailed           a snapshot that was waited for will never be ready
    ├── CommandFailed            a command run with `check=True` did not exit with 0
    ├── TransferFailed           a file or directory could not be copied as a whole
    │   └── UnsafePath           a name in the bunker would have led outside the local target
    └── ApiError                 the API refused; carries its code, message, hint and details
        ├── AuthenticationFailed 401
        ├── PermissionDenied     403
        ├── NotFound             404
        ├── Conflict             409
        ├── PayloadTooLarge      413
        ├── ValidationFailed     422
        ├── RateLimited          429, too many requests
        ├── QuotaExceeded        429, a quota is used up
        ├── NoSpace              507, the bunker's disk is full
        └── Unavailable          5xx: no worker, a worker that does not answer, a server that failed

No exception carries the API key, file contents, environment values or standard input.
`_answers` makes them from what the server sent; the command line maps them to exit codes.
"""

from scaibunker.wire.api.envelope import Detail
from scaibunker.wire.api.execs import ExecResult

__all__ = [
    "AnswerTimedOut",
    "ApiError",
    "AuthenticationFailed",
    "BunkerFailed",
    "CommandFailed",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "InvalidArgument",
    "NoSpace",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "QuotaExceeded",
    "RateLimited",
    "ResponseInvalid",
    "ScaiBunkerError",
    "SnapshotFailed",
    "StreamBroken",
    "TransferFailed",
    "Unavailable",
    "UnsafePath",
    "ValidationFailed",
    "WaitTimedOut",
]


class ScaiBunkerError(Exception):
    """Everything that the SDK raises on purpose. `hint` says what the caller can do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigurationError(ScaiBunkerError):
    """The client cannot be set up: no endpoint, no key, or a profile that cannot be read."""


class InvalidArgument(ScaiBunkerError, ValueError):
    """A value that the API would refuse in any state; nothing was sent. `details` name the fields."""

    def __init__(
        self, message: str, *, details: tuple[Detail, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.details = details


class ConnectionFailed(ScaiBunkerError):
    """No answer came. `may_have_run` is false when the request surely never reached the server."""

    def __init__(self, message: str, *, may_have_run: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.may_have_run = may_have_run


class AnswerTimedOut(ConnectionFailed):
    """The server was reached and did not answer in time."""


class StreamBroken(ScaiBunkerError):
    """A stream ended before its end was announced: what came is a part, the outcome is unknown.

    `exec_id` is the command whose stream it was, if it had been named by then.
    """

    def __init__(
        self, message: str, *, exec_id: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.exec_id = exec_id


class ResponseInvalid(ScaiBunkerError):
    """Something answered that does not speak this API, or a newer one."""


class WaitTimedOut(ScaiBunkerError):
    """What was waited for did not happen in time."""


class BunkerFailed(ScaiBunkerError):
    """The bunker reached a final state instead of the one waited for."""

    def __init__(self, bunker_id: str, status: str, reason: str | None) -> None:
        super().__init__(f"bunker {bunker_id} is {status}: {reason or 'no reason was given'}")
        self.bunker_id = bunker_id
        self.status = status
        self.reason = reason


class SnapshotFailed(ScaiBunkerError):
    """The snapshot that was waited for could not be made; nothing can be made of it."""

    def __init__(self, snapshot_id: str, reason: str | None) -> None:
        super().__init__(f"snapshot {snapshot_id} has failed: {reason or 'no reason was given'}")
        self.snapshot_id = snapshot_id
        self.reason = reason


class CommandFailed(ScaiBunkerError):
    """A command run with `check=True` did not exit with 0. `result` has its output."""

    def __init__(self, result: ExecResult) -> None:
        super().__init__(f"command {result.exec_id} {_outcome(result)}")
        self.result = result


class TransferFailed(ScaiBunkerError):
    """A file or directory could not be copied as a whole."""


class UnsafePath(TransferFailed):
    """A name in the bunker would have led outside the local target; nothing was written there."""


class ApiError(ScaiBunkerError):
    """The API refused.

    `code` is what to branch on; `status` the HTTP status; `details` what is wrong with which
    field; `retry_after` seconds; `request_id` what an operator can find the request by.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int,
        hint: str | None = None,
        details: tuple[Detail, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class AuthenticationFailed(ApiError):
    """The key is missing, wrong, expired or revoked."""


class PermissionDenied(ApiError):
    """The key's owner lacks a permission; `details` name it."""


class NotFound(ApiError):
    """There is no such thing, or it is not the caller's."""


class Conflict(ApiError):
    """The thing is not in a state that allows this, or the name is taken."""


class PayloadTooLarge(ApiError):
    """More bytes than the operation takes."""


class ValidationFailed(ApiError):
    """A field breaks a rule; `details` name both."""


class RateLimited(ApiError):
    """Too many requests; `retry_after` says when to come back."""


class QuotaExceeded(ApiError):
    """A quota is used up; `details` say which and by how much."""


class NoSpace(ApiError):
    """The bunker's disk is full."""


class Unavailable(ApiError):
    """No worker can take it, the worker does not answer, or the server failed."""


def _outcome(result: ExecResult) -> str:
    if result.timed_out:
        return "timed out"
    if result.signal is not None:
        return f"was ended by {result.signal}"
    return f"exited with {result.exit_code}"
