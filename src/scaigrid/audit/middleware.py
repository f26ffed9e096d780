"""Sees every request that could change something, and records it as it is answered.

It stands outside of routing and of the handling of errors, so that nothing is missed: unknown routes,
refused credentials and faults alike. What it records is the answer that really goes out. An answer
that is a stream is recorded when it begins, an upload when it has ended.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scaigrid.audit.domain import (
    MAX_CODE,
    MAX_NAME,
    MAX_PATH,
    MAX_RESOURCE_ID,
    NOBODY,
    Actor,
    ActorType,
    Entry,
    bounded,
    bounded_details,
    entry_id,
    outcome_of,
    resource_of,
)
from scaigrid.audit.recorder import Recorder
from scaigrid.errors import InternalError, ServerStopping
from scaigrid.http.address import address_of
from scaigrid.http.errors import status_of
from scaigrid.http.routes import Declaration, GuardedRoute
from scaigrid.idempotency.service import REPLAYED
from scaigrid.operation import Caller, Notes, Operation, System

MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
UNKNOWN = "unknown_operation"
"""The action of a request that no declaration is for."""
_REPLAYED = REPLAYED.lower().encode()


class AuditMiddleware:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in MUTATING:
            await self._app(scope, receive, send)
            return
        watch = _Watch(self._recorder, scope, send)
        try:
            await self._app(scope, receive, watch.send)
        except asyncio.CancelledError:
            watch.end(ServerStopping)
            raise
        finally:
            watch.end(InternalError)


class _Watch:
    """One request on its way out."""

    def __init__(self, recorder: Recorder, scope: Scope, send: Send) -> None:
        self._recorder = recorder
        self._scope = scope
        self._send = send
        self._status = 0
        self._is_recorded = False

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, once it is recorded."""
        if self._is_recorded:
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status < 400:
                await self._succeed(message)
        elif message["type"] == "http.response.body" and self._status:
            self._refuse(self._status, _code(message.get("body", b"")))
        await self._send(message)

    def end(self, error: type[InternalError | ServerStopping]) -> None:
        """No answer has gone out; `error` is what the caller is told, or would be."""
        if not self._is_recorded:
            self._refuse(self._status or status_of(error), error.code)

    async def _succeed(self, start: Message) -> None:
        self._is_recorded = True
        if _is_audited(self._scope):
            entry = self._entry(self._status, None)
            if any(name.lower() == _REPLAYED for name, _ in start.get("headers", ())):
                entry.details["replayed"] = True
            await self._recorder.keep(entry)

    def _refuse(self, status: int, code: str | None) -> None:
        self._is_recorded = True
        if _is_audited(self._scope):
            self._recorder.refuse(self._entry(status, code))

    def _entry(self, status: int, code: str | None) -> Entry:
        return entry_of(self._scope, status, code, self._recorder)


def entry_of(scope: Scope, status: int, code: str | None, recorder: Recorder) -> Entry:
    """What there is to say of a request that is answered so."""
    state: Mapping[str, Any] = scope.get("state", {})
    op, caller = state.get("op"), state.get("caller")
    notes = op.notes if isinstance(op, Operation) else Notes()
    declaration = _declaration(scope)
    kind, which = None, None
    if declaration is not None:
        kind, which = resource_of(declaration.path, scope.get("path_params", {}))
    details = bounded_details(notes.details)
    if isinstance(caller, Caller):
        details["credential_id"] = caller.credential_id
    if notes.resource_id not in (None, which):
        made = bounded(str(notes.resource_id), MAX_RESOURCE_ID)
        if which is None:
            which = made
        else:
            details["made"] = made
    tenant = caller.tenant_id if isinstance(caller, Caller) else None
    if status < 400:  # a refusal must not put an entry into the log of a tenant that it names
        tenant = (which if kind == "tenant" else notes.tenant_id) or tenant
    return Entry(
        id=entry_id(scope["request_id"]),
        at=recorder.clock.now(),
        tenant_id=tenant,
        actor=_actor(caller),
        action=declaration.endpoint.__name__ if declaration else UNKNOWN,
        method=scope["method"],
        path=bounded(scope["path"], MAX_PATH),
        resource_type=kind,
        resource_id=which,
        outcome=outcome_of(status, code),
        status=status,
        code=None if code is None else bounded(code, MAX_CODE),
        address=address_of(scope),
        request_id=scope["request_id"],
        details=details,
    )


def _is_audited(scope: Scope) -> bool:
    declaration = _declaration(scope)
    return declaration is None or declaration.audited or "caller" not in scope.get("state", {})


def _declaration(scope: Scope) -> Declaration | None:
    """The declaration that the request is for; a route of another method's is none."""
    route = scope.get("route")
    if isinstance(route, GuardedRoute) and route.declaration.method == scope["method"]:
        return route.declaration
    return None


def _actor(caller: object) -> Actor:
    if isinstance(caller, Caller):
        return Actor(ActorType.USER, caller.user_id, bounded(caller.name, MAX_NAME))
    if isinstance(caller, System):
        return Actor(ActorType.SERVICE, None, caller.name)
    return NOBODY


def _code(body: bytes) -> str | None:
    """The error code in a refusal's envelope."""
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return None
