"""The outermost layer: request id, request log, and the answer to a fault that nobody caught."""

import contextlib
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scaigrid import logs
from scaigrid.errors import InternalError
from scaigrid.http.errors import failure
from scaigrid.ids import new_id
from scaigrid.metrics.requests import RequestMetrics
from scaigrid.tracing.requests import RequestSpans

log = structlog.get_logger(__name__)


class Edge:
    """ASGI middleware. The request id is always our own, so that it can be trusted in logs."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, spans: RequestSpans | None) -> None:
        self._app = app
        self._metrics = metrics
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = new_id("req")
        header = (b"x-request-id", request_id.encode())
        scope.setdefault("state", {})
        logs.of_request(request_id)
        self._metrics.begin()
        started = time.monotonic()
        status = 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own, more = message.get("headers", ()), scope["state"].get("headers", ())
                # An answer that is given again has the id of the request that it was made for.
                is_told = any(name == header[0] for name, _ in own)
                message["headers"] = [*own, *more] if is_told else [*own, header, *more]
            await send(message)

        with self._spans.of(scope) if self._spans else contextlib.nullcontext() as span:
            try:
                await self._app(scope, receive, tagged)
            except Exception:
                log.exception("request failed")
                if status:  # the answer has begun: cut it, so that nobody takes it for whole
                    raise
                await failure(InternalError(), request_id)(scope, receive, tagged)
            finally:
                seconds = time.monotonic() - started
                self._metrics.end(scope, status, seconds)
                if span is not None:
                    span.end(scope, status)
                _record(scope, status, seconds)
                logs.of_nobody()


def _record(scope: Scope, status: int, seconds: float) -> None:
    """One line for each request: never its query or body, which may hold secrets."""
    log.info(
        "request",
        method=scope["method"],
        path=scope["path"],
        status=status,
        ms=round(seconds * 1000, 1),
    )
