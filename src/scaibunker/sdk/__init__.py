"""The Python client of the API: `Client` for threads, `AsyncClient` for asyncio.

The two are the same, name for name; `_sync` is generated from `_async`. What is not exported here is
private. Next: `_async/client.py` for the entry, `errors.py` for what can go wrong, `config.py` for
where the endpoint and the key come from.
"""

from scaibunker.sdk._async.bunker import AsyncBunker
from scaibunker.sdk._async.client import AsyncClient
from scaibunker.sdk._async.exec_stream import AsyncExecStream
from scaibunker.sdk._async.execs import AsyncExecs
from scaibunker.sdk._async.execution import AsyncExecution
from scaibunker.sdk._async.files import AsyncFiles
from scaibunker.sdk._sync.bunker import Bunker
from scaibunker.sdk._sync.client import Client
from scaibunker.sdk._sync.exec_stream import ExecStream
from scaibunker.sdk._sync.execs import Execs
from scaibunker.sdk._sync.execution import Execution
from scaibunker.sdk._sync.files import Files
from scaibunker.sdk.config import Endpoint, Timeouts, load_profile, read_key_file, resolve
from scaibunker.sdk.errors import (
    AnswerTimedOut,
    ApiError,
    AuthenticationFailed,
    BunkerFailed,
    CommandFailed,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    InvalidArgument,
    NoSpace,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    ResponseInvalid,
    ScaiBunkerError,
    SnapshotFailed,
    StreamBroken,
    TransferFailed,
    Unavailable,
    UnsafePath,
    ValidationFailed,
    WaitTimedOut,
)
from scaibunker.sdk.events import ExecEvent, ExecExited, ExecGap, ExecOutput, ExecStarted
from scaibunker.sdk.options import (
    AuditFilter,
    BunkerOptions,
    ExecOptions,
    QuotaCapOptions,
    QuotaProfileChanges,
    QuotaProfileOptions,
)
from scaibunker.sdk.records import ApiKeyCreated, BunkerRecord, ExecResult
from scaibunker.sdk.retries import NO_RETRIES, RetryPolicy
from scaibunker.sdk.transfers import Progress, Skipped, TransferSummary
from scaibunker.sdk.waiting import SnapshotProgress
from scaibunker.wire.api.audit import AuditEntry
from scaibunker.wire.api.bridges import Bridge, BridgeStatus
from scaibunker.wire.api.bunkers import (
    BunkerEvent,
    BunkerStatus,
    Interface,
    LifecycleMode,
    NetworkProfile,
    SessionType,
)
from scaibunker.wire.api.execs import ExecRecord
from scaibunker.wire.api.files import FileEntry
from scaibunker.wire.api.flows import AuditBatch, FlowRecord, FlowVerdict, LossRecord
from scaibunker.wire.api.identity import ApiKey, Me
from scaibunker.wire.api.images import Image, ImageStatus
from scaibunker.wire.api.quotas import (
    QuotaAssignment,
    QuotaMode,
    QuotaProfile,
    QuotaTargetKind,
    QuotaUsage,
)
from scaibunker.wire.api.snapshots import Snapshot, SnapshotKind, SnapshotPhase, SnapshotStatus
from scaibunker.wire.api.workers import Amounts, Worker
from scaibunker.wire.codes import Code

__all__ = [
    "NO_RETRIES",
    "Amounts",
    "AnswerTimedOut",
    "ApiError",
    "ApiKey",
    "ApiKeyCreated",
    "AsyncBunker",
    "AsyncClient",
    "AsyncExecStream",
    "AsyncExecs",
    "AsyncExecution",
    "AsyncFiles",
    "AuditBatch",
    "AuditEntry",
    "AuditFilter",
    "AuthenticationFailed",
    "Bridge",
    "BridgeStatus",
    "Bunker",
    "BunkerEvent",
    "BunkerFailed",
    "BunkerOptions",
    "BunkerRecord",
    "BunkerStatus",
    "Client",
    "Code",
    "CommandFailed",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Endpoint",
    "ExecEvent",
    "ExecExited",
    "ExecGap",
    "ExecOptions",
    "ExecOutput",
    "ExecRecord",
    "ExecResult",
    "ExecStarted",
    "ExecStream",
    "Execs",
    "Execution",
    "FileEntry",
    "Files",
    "FlowRecord",
    "FlowVerdict",
    "Image",
    "ImageStatus",
    "Interface",
    "InvalidArgument",
    "LifecycleMode",
    "LossRecord",
    "Me",
    "NetworkProfile",
    "NoSpace",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "Progress",
    "QuotaAssignment",
    "QuotaCapOptions",
    "QuotaExceeded",
    "QuotaMode",
    "QuotaProfile",
    "QuotaProfileChanges",
    "QuotaProfileOptions",
    "QuotaTargetKind",
    "QuotaUsage",
    "RateLimited",
    "ResponseInvalid",
    "RetryPolicy",
    "ScaiBunkerError",
    "SessionType",
    "Skipped",
    "Snapshot",
    "SnapshotFailed",
    "SnapshotKind",
    "SnapshotPhase",
    "SnapshotProgress",
    "SnapshotStatus",
    "StreamBroken",
    "Timeouts",
    "TransferFailed",
    "TransferSummary",
    "Unavailable",
    "UnsafePath",
    "ValidationFailed",
    "WaitTimedOut",
    "Worker",
    "load_profile",
    "read_key_file",
    "resolve",
]
