"""The span of a request.

A caller's `traceparent` is taken for what it is: a wish. It says which trace the request joins and
whether it is sampled, nothing else is read from it, and what it costs is bounded by the exporter's
queue.
"""

import contextlib
from collections.abc import Iterator

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from scaigrid import logs
from scaigrid.operation import Caller
from scaigrid.tracing.spans import TRACEPARENT, failing, traced_by

MAX_HEADER = 128
_propagator = TraceContextTextMapPropagator()


class RequestSpans:
    """Makes them."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextlib.contextmanager
    def of(self, scope: Scope) -> Iterator["RequestSpan"]:
        """The span over a request. What is not sampled has no spans below it either."""
        with self._tracer.start_as_current_span(
            scope["method"],
            context=_parent(scope),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            made = RequestSpan(span)
            if not span.is_recording():
                yield made
                return
            logs.of_trace(format_trace_id(span.get_span_context().trace_id))
            with traced_by(self._tracer), failing(span):
                yield made


class RequestSpan:
    """One of them."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, scope: Scope, status: int) -> None:
        """Write down what is known once the request is over."""
        if not self._span.is_recording():
            return
        route = getattr(scope.get("route"), "path", None)
        self._span.set_attribute("http.request.method", scope["method"])
        self._span.set_attribute("scaigrid.request_id", scope["request_id"])
        if route is not None:
            self._span.update_name(f"{scope['method']} {route}")
            self._span.set_attribute("http.route", route)
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        caller = scope["state"].get("caller")
        if isinstance(caller, Caller):
            self._span.set_attribute("scaigrid.tenant_id", caller.tenant_id)


def _parent(scope: Scope) -> Context:
    """Where the request says that it belongs. An empty context, not ours, if it says nothing."""
    name = TRACEPARENT.encode()
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) != 1 or len(found[0]) > MAX_HEADER:
        return Context()
    return _propagator.extract({TRACEPARENT: found[0].decode("latin-1")}, Context())
