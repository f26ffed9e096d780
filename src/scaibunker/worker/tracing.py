"""The worker's part of a trace: a span for each request of the controller, and below it the steps
of building a machine.

The worker begins no trace of its own: whether there is one, the controller's `traceparent` says,
which is heeded only after its token. Off unless `SCAIBUNKER_WORKER_TRACING_ENDPOINT` is set.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from aiohttp import web
from aiohttp.typedefs import Middleware
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from scaibunker import __version__
from scaibunker.worker.api.errors import Handler
from scaibunker.worker.settings import WorkerSettings

SEND_S = 5
CLOSE_S = 3.0
TRACEPARENT = "traceparent"
_IDS = {"machine": "scaibunker.bunker_id", "exec": "scaibunker.exec_id"}
_propagator = TraceContextTextMapPropagator()
_tracer: ContextVar[Tracer | None] = ContextVar("scaibunker_worker_tracer", default=None)


class Tracing:
    """The tracer of this daemon, if there is one."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._provider: TracerProvider | None = None
        if settings.tracing_endpoint is None:
            return
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_OFF),
            resource=Resource.create(
                {SERVICE_NAME: settings.tracing_service_name, SERVICE_VERSION: __version__}
            ),
            shutdown_on_exit=False,
        )
        url = f"{settings.tracing_endpoint.rstrip('/')}/v1/traces"
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(url, timeout=SEND_S),
                schedule_delay_millis=settings.tracing_interval_s * 1000,
            )
        )

    def middlewares(self) -> list[Middleware]:
        """What the API needs for it; behind the one that checks the token."""
        if self._provider is None:
            return []
        return [_middleware(self._provider.get_tracer("scaibunker.worker"))]

    async def close(self) -> None:
        """Send what is left. A collector that does not take it holds nothing up for long."""
        if self._provider is None:
            return
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_S)


@contextlib.contextmanager
def span(name: str) -> Iterator[None]:
    """A span over the block, if what is done is part of a trace."""
    tracer = _tracer.get()
    if tracer is None:
        yield
        return
    with (
        tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as made,
        _failing(made),
    ):
        yield


def _middleware(tracer: Tracer) -> Middleware:
    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        parents = request.headers.getall(TRACEPARENT, [])
        if len(parents) != 1:
            return await handler(request)
        resource = request.match_info.route.resource
        name = f"{request.method} {resource.canonical if resource else 'none'}"
        ids = {_IDS[k]: v for k, v in request.match_info.items() if k in _IDS}
        with tracer.start_as_current_span(
            name,
            context=_propagator.extract({TRACEPARENT: parents[0]}, Context()),
            kind=SpanKind.SERVER,
            attributes=ids,
            record_exception=False,
            set_status_on_exception=False,
        ) as made:
            with _traced_by(tracer if made.is_recording() else None), _failing(made):
                response = await handler(request)
            made.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                made.set_status(StatusCode.ERROR)
            return response

    return trace


@contextlib.contextmanager
def _traced_by(tracer: Tracer | None) -> Iterator[None]:
    token = _tracer.set(tracer)
    try:
        yield
    finally:
        _tracer.reset(token)


@contextlib.contextmanager
def _failing(made: Span) -> Iterator[None]:
    try:
        yield
    except Exception:
        made.set_status(StatusCode.ERROR)
        raise
