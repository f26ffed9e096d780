"""Spans below a request that is traced. Where none is, they cost a look at the context.

No span has an error's text: that may quote what a caller sent.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
"""The header of the W3C that names the span a request belongs to."""

_tracer: ContextVar[Tracer | None] = ContextVar("scaigrid_tracer", default=None)
_propagator = TraceContextTextMapPropagator()
_NOTHING = contextlib.nullcontext()


@contextlib.contextmanager
def traced_by(tracer: Tracer) -> Iterator[None]:
    """What happens in the block has spans."""
    token = _tracer.set(tracer)
    try:
        yield
    finally:
        _tracer.reset(token)


def span(name: str) -> AbstractContextManager[None]:
    """A span over the block, and the parent of those within it."""
    tracer = _tracer.get()
    return _NOTHING if tracer is None else _span(tracer, name)


@contextlib.contextmanager
def _span(tracer: Tracer, name: str) -> Iterator[None]:
    with (
        tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as made,
        failing(made),
    ):
        yield


@contextlib.contextmanager
def request_span(name: str, attributes: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A span for a request to another process; yields the headers that continue it there.

    It is the parent of nothing here, so that the block may be left in another task.
    """
    tracer = _tracer.get()
    if tracer is None:
        yield {}
        return
    made = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
    try:
        with failing(made):
            yield _headers(made)
    finally:
        made.end()


@contextlib.contextmanager
def failing(made: Span) -> Iterator[None]:
    """Mark the span if the block raises."""
    try:
        yield
    except Exception:
        made.set_status(StatusCode.ERROR)
        raise


def traceparent() -> str | None:
    """The current span as another process is told of it; None if nothing is traced."""
    if _tracer.get() is None:
        return None
    return _headers(trace.get_current_span()).get(TRACEPARENT)


def _headers(made: Span) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(made))
    return {name: value for name, value in carrier.items() if name == TRACEPARENT}
