"""Declaring an operation. The declaration is the enforcement and the documentation alike.

`Routes.add` says who may call it, what it answers, which errors it has and how large a body may
be; `GuardedRoute` holds each request to that before the endpoint sees it, in this order:
credential, permission, what the body claims, idempotency, validation, and then the endpoint,
which finds out whether the thing exists.
"""

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.errors import (
    AuthUnavailable,
    GridError,
    IdempotencyConflict,
    InternalError,
    ModuleNotEnabled,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    ServiceTokenInvalid,
    TenantSuspended,
    TokenInvalid,
    TokenMissing,
    UserDisabled,
    ValidationFailed,
)
from scaigrid.http import envelope, errors
from scaigrid.http.access import (
    Access,
    Claims,
    Delegated,
    Gate,
    Needs,
    Personal,
    Public,
    Roles,
    Service,
)
from scaigrid.http.body import JsonRequest
from scaigrid.http.paging import Slice
from scaigrid.http.resources import Place, Resource
from scaigrid.idempotency.service import Idempotency
from scaigrid.operation import Operation

Endpoint = Callable[..., Awaitable[Any]]

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key and request give the first answer again for 24 hours.",
}
_CONVERTED = re.compile(r"\{(\w+):\w+\}")
_PARAMETER = re.compile(r"\{(\w+)")
_REQUEST = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
SECURITY_SCHEMES = {"bearer": {"type": "http", "scheme": "bearer"}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers when it succeeds."""

    status: int
    content: dict[str, Any]
    description: str
    model: Any = None


def one(model: type[BaseModel], status: int = 200, description: str = "Done.") -> Answer:
    """One thing in the envelope."""
    return Answer(status, {}, description, envelope.Success[model])  # type: ignore[valid-type]


def many(model: type[BaseModel], description: str = "A page, newest first.") -> Answer:
    """A page of things in the envelope."""
    return Answer(200, {}, description, envelope.Page[model])  # type: ignore[valid-type]


def events(description: str) -> Answer:
    """A stream of server-sent events."""
    return Answer(200, {"text/event-stream": {"schema": {"type": "string"}}}, description)


def raw(status: int, description: str) -> Answer:
    """Bytes, without an envelope."""
    schema = {"type": "string", "format": "binary"}
    return Answer(status, {"application/octet-stream": {"schema": schema}}, description)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One operation."""

    method: str
    path: str
    endpoint: Endpoint
    access: Access
    answers: tuple[Answer, ...]
    errors: tuple[type[GridError], ...]
    tag: str
    body_limit: int | None = None
    claims: Claims | None = None
    keeps_answer: bool = True
    audited: bool = True
    module: str | None = None
    resources: tuple[Resource, ...] = ()
    not_on_oneself: bool = False

    def __post_init__(self) -> None:
        named = {each.parameter for each in self.resources if each.place is Place.PATH}
        for parameter in _PARAMETER.findall(self.path):
            if parameter not in named:
                raise TypeError(f"{self.method} {self.path}: no resource is named {parameter}")
        if not self.audited and not isinstance(self.access, Service):
            raise TypeError(f"{self.method} {self.path}: what people do is always audited")

    def all_errors(self) -> list[type[GridError]]:
        """The operation's own errors and those that every operation of its sort has."""
        found: list[type[GridError]] = [*self.errors, ValidationFailed, InternalError]
        if not isinstance(self.access, Public):
            found += [TokenMissing, TokenInvalid]
        if isinstance(self.access, Personal | Service):
            found.append(DatabaseUnavailable)
        if isinstance(self.access, Personal):
            found += [AuthUnavailable, RateLimited, TenantSuspended, UserDisabled]
            if self.module is not None:
                found.append(ModuleNotEnabled)
        if isinstance(self.access, Needs | Roles | Delegated):
            found.append(PermissionDenied)
        if isinstance(self.access, Service | Delegated):
            found.append(ServiceTokenInvalid)
        if self.has_body:
            found.append(PayloadTooLarge)
        if self.is_repeatable:
            found.append(IdempotencyConflict)
        return found

    @property
    def template(self) -> str:
        """The path as OpenAPI has it: parameters by name alone."""
        return _CONVERTED.sub(r"{\1}", self.path)

    @property
    def has_body(self) -> bool:
        """Whether it takes JSON; that parameter of an endpoint is always called `body`."""
        return "body" in inspect.signature(self.endpoint).parameters

    @property
    def is_repeatable(self) -> bool:
        """Whether `Idempotency-Key` means something here."""
        return self.method == "POST" and isinstance(self.access, Personal)


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What every route needs to hold its requests to the declaration. Without persons there is no
    `idempotency`: the keys are theirs."""

    gate: Gate
    idempotency: Idempotency | None
    json_limit: int
    body_timeout_s: float


class Routes:
    """The operations of one room, before they are part of an application."""

    def __init__(self, prefix: str, tag: str, *resources: Resource) -> None:
        self.declared: list[Declaration] = []
        self._prefix = prefix
        self._tag = tag
        self._resources = {each.parameter: each for each in resources}

    def add(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        *,
        access: Access,
        answers: Answer | Sequence[Answer],
        errors: Sequence[type[GridError]] = (),
        body_limit: int | None = None,
        claims: Claims | None = None,
        keeps_answer: bool = True,
        audited: bool = True,
        names: Sequence[Resource] = (),
        not_on_oneself: bool = False,
    ) -> None:
        """Declare an operation. Its documentation is the endpoint's docstring.

        `keeps_answer` is false for an answer that must not be stored, because a secret is in it.
        `audited` is false for what machines say to each other all the time; only a service's
        operation may have that, and one that is refused its credential is audited all the same.
        Parameters of the path name the room's resources; `names` are those that the query or the
        body names. `not_on_oneself`: nobody does it to itself, whatever it may do to others.
        """
        whole = self._prefix + path
        in_path = [self._resources[p] for p in _PARAMETER.findall(whole) if p in self._resources]
        self.declared.append(
            Declaration(
                method=method,
                path=whole,
                endpoint=endpoint,
                access=access,
                answers=(answers,) if isinstance(answers, Answer) else tuple(answers),
                errors=tuple(errors),
                tag=self._tag,
                body_limit=body_limit,
                claims=claims,
                keeps_answer=keeps_answer,
                audited=audited,
                resources=(*in_path, *names),
                not_on_oneself=not_on_oneself,
            )
        )

    def of_module(self, module: str) -> "Routes":
        """The same operations, as those of a module: refused to tenants that do not have it."""
        self.declared = [replace(each, module=module) for each in self.declared]
        return self


class GuardedRoute(Route):
    """A route that holds its requests to the declaration.

    What the framework makes of an endpoint (its parameters, and how they are validated) is made at the
    first request. For all of them together that is most of what the start of an application takes.
    """

    def __init__(self, declaration: Declaration, enforcement: Enforcement) -> None:
        self.declaration = declaration
        self.enforcement = enforcement
        self._beginning = declaration.path.partition("{")[0]
        super().__init__(declaration.path, declaration.endpoint)
        self.methods = {declaration.method}  # and not HEAD wherever there is GET
        self.app = self._first

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the route takes the request. Routes are asked in turn, so that the answer that
        most of them give must cost little."""
        if not scope["path"].startswith(self._beginning):
            return Match.NONE, {}
        match, found = super().matches(scope)
        if match is not Match.NONE:
            found["route"] = self
        return match, found

    async def _first(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the first request."""
        self.app = _Guarded(self.declaration, self.enforcement).app
        await self.app(scope, receive, send)


class _Guarded(APIRoute):
    """The operation as the framework has it, with the guard before it.

    Only one that is `described` has what the OpenAPI document says of its answers: serving a request
    needs none of their models.
    """

    def __init__(
        self, declaration: Declaration, enforcement: Enforcement, *, described: bool = False
    ) -> None:
        self._declaration = declaration
        self._enforcement = enforcement
        first = declaration.answers[0]
        super().__init__(
            declaration.path,
            _enveloped(declaration),
            response_model=None,
            status_code=first.status,
            methods=[declaration.method],
            tags=[declaration.tag],
            description=_description(declaration),
            response_description=first.description,
            operation_id=declaration.endpoint.__name__,
            responses=_responses(declaration) if described else None,
            openapi_extra=_openapi(declaration),
        )

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with the guard before it."""
        inner = super().get_route_handler()
        declaration, enforcement = self._declaration, self._enforcement
        has_body = declaration.has_body
        limit = declaration.body_limit or enforcement.json_limit

        async def handle(request: Request) -> Response:
            op = await enforcement.gate.admit(request, declaration.access, declaration.module)
            state = request.scope["state"]
            state["op"] = op
            body: Any = None
            if has_body:
                request = JsonRequest(request, limit, enforcement.body_timeout_s)
                body = await request.json()
            if declaration.claims is not None:
                claimed = body if isinstance(body, dict) else {}
                declaration.claims(op, request.query_params, claimed)
            key = request.headers.get("idempotency-key") if declaration.is_repeatable else None
            if key is None or enforcement.idempotency is None:
                return await inner(request)

            async def run(token: str, resumed: bool) -> Response:
                state["op"] = replace(op, token=token, resumed=resumed)
                return await inner(request)

            content = await request.body() if has_body else b""
            return await enforcement.idempotency.answer(
                op, request, key, content, run, keep=declaration.keeps_answer
            )

        return handle


def install(app: FastAPI, routes: Sequence[Routes], enforcement: Enforcement) -> None:
    """Make the declared operations part of the application."""
    for room in routes:
        app.router.routes.extend(GuardedRoute(each, enforcement) for each in room.declared)


def described(app: FastAPI) -> list[BaseRoute]:
    """The application's operations with all that its OpenAPI document says of them."""
    return [
        _Guarded(route.declaration, route.enforcement, described=True)
        for route in app.routes
        if isinstance(route, GuardedRoute)
    ]


Op = Operation
"""An endpoint's first parameter: the operation that the guard made of the request. It is handed over
by us, not as a dependency: the framework's way of solving one is slow for so little."""


def _enveloped(declaration: Declaration) -> Endpoint:
    """The endpoint with its result wrapped; a Response goes out as it is.

    To the framework it has the endpoint's parameters but `op`, and `request`, where `op` is found.
    """
    endpoint, status = declaration.endpoint, declaration.answers[0].status
    signature = inspect.signature(endpoint)
    parameters = {**signature.parameters, "request": _REQUEST}
    del parameters["op"]
    takes_request = "request" in signature.parameters

    @functools.wraps(endpoint)
    async def call(request: Request, **kwargs: Any) -> Response:
        op: Operation = request.scope["state"]["op"]
        if takes_request:
            kwargs["request"] = request
        result = await endpoint(op=op, **kwargs)
        op.notes.take(result)
        if isinstance(result, Response):
            return result
        if isinstance(result, Slice):
            return envelope.page(result.items, result.next_cursor, op.request_id)
        return envelope.success(result, op.request_id, status)

    call.__signature__ = signature.replace(parameters=_ordered(parameters.values()))  # type: ignore[attr-defined]
    return call


def _ordered(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    """All of them by name, so that one without a default may follow one that has it."""
    by_name = inspect.Parameter.KEYWORD_ONLY
    return [parameter.replace(kind=by_name) for parameter in parameters]


def _description(declaration: Declaration) -> str:
    text = inspect.cleandoc(declaration.endpoint.__doc__ or "")
    return f"{text}\n\n{declaration.access.summary}"


def _openapi(declaration: Declaration) -> dict[str, Any]:
    """What FastAPI does not find out by itself."""
    extra: dict[str, Any] = {"x-permissions": list(declaration.access.keys)}
    if isinstance(declaration.access, Roles):
        extra["x-roles"] = [role.value for role in declaration.access.roles]
    if not isinstance(declaration.access, Public):
        extra["security"] = [{"bearer": []}]
    if declaration.is_repeatable:
        extra["parameters"] = [IDEMPOTENCY_KEY]
    return extra


def _responses(declaration: Declaration) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries, by status."""
    return {**errors.responses(declaration.all_errors()), **_success(declaration)}


def _success(declaration: Declaration) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries; answers with one status are alternatives of content."""
    entries: dict[int | str, dict[str, Any]] = {}
    for answer in declaration.answers:
        entry = entries.setdefault(answer.status, {"description": answer.description})
        if answer.model is not None:
            entry["model"] = answer.model
        if answer.content:
            entry.setdefault("content", {}).update(answer.content)
        if answer.description not in entry["description"]:
            entry["description"] += f" {answer.description}"
    return entries
