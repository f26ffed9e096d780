"""Request bodies and queries from what callers of the SDK give."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

from scaibunker.sdk import _calls
from scaibunker.sdk.errors import InvalidArgument
from scaibunker.sdk.options import AuditFilter, BunkerOptions, ExecOptions
from scaibunker.wire.api.bunkers import BunkerCreate
from scaibunker.wire.api.execs import MAX_STDIN, ExecRequest, StdinRequest
from scaibunker.wire.api.snapshots import SnapshotCreate, SnapshotKind

ANSWER_MARGIN_S = 90.0
"""Seconds that the server has, beside a command's own time-out, to wake the bunker if it sleeps (a
minute at most), and to put the answer together."""


def bunker_create(options: BunkerOptions) -> BunkerCreate:
    """Body of a create."""
    if (options.get("image") is None) == (options.get("snapshot_id") is None):
        raise InvalidArgument("image: give exactly one of image and snapshot_id")
    return _calls.body(BunkerCreate, options)


def last_snapshot(wanted: bool | SnapshotKind | str) -> dict[str, str | bool]:
    """The query of a delete: none, one of the API's own choice, or one of that kind."""
    if isinstance(wanted, bool):
        return {"snapshot": True} if wanted else {}
    return {"snapshot": True, "kind": _calls.body(SnapshotCreate, {"kind": wanted}).kind}


def exec_request(
    command: str | Sequence[str],
    options: ExecOptions,
    mode: Literal["plain", "stream", "detach"] = "plain",
) -> ExecRequest:
    """Body of an exec. A text is run by the shell, a sequence as it is."""
    fields: dict[str, Any] = {
        name: value for name, value in options.items() if value is not None and name != "stdin"
    }
    fields["command"] = command if isinstance(command, str) else list(command)
    if mode != "plain":
        fields[mode] = True
    fields.update(stdin_fields(options.get("stdin"), "stdin", "stdin_base64"))
    return _calls.body(ExecRequest, fields)


def stdin_request(data: str | bytes, *, eof: bool) -> StdinRequest:
    """Body that brings standard input to a running command."""
    return _calls.body(StdinRequest, {**stdin_fields(data, "data", "data_base64"), "eof": eof})


def stdin_fields(data: str | bytes | None, plain: str, encoded: str) -> dict[str, str]:
    """Standard input under the field that carries it."""
    if not data:
        return {}
    if len(data) > MAX_STDIN:  # characters for a text: the server counts its bytes
        raise InvalidArgument(
            f"stdin: at most {MAX_STDIN} bytes", hint="put it into a file of the bunker instead"
        )
    if isinstance(data, str):
        return {plain: data}
    return {encoded: base64.b64encode(data).decode()}


def answer_timeout(request: ExecRequest) -> float:
    """Seconds to wait for the answer of a plain exec."""
    return request.timeout_s + ANSWER_MARGIN_S


def audit_filter(wanted: AuditFilter) -> dict[str, str | int | None]:
    """The query of a filter. A time without a zone is UTC."""
    return {
        name: _time(value) if isinstance(value, datetime) else value
        for name, value in cast("Mapping[str, Any]", wanted).items()
    }


def _time(value: datetime) -> str:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
