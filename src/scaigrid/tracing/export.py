"""Sending spans to a collector, in a thread of the exporter's own, over OTLP/HTTP."""

import asyncio
import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from scaigrid.settings.tracing import TracingSettings
from scaigrid.tracing.requests import RequestSpans
from scaigrid.version import VERSION

SEND_S = 5
CLOSE_S = 3.0
"""How long a stop may wait for the collector to take what is left."""
QUEUE = 4096
"""Spans that wait to be sent; what does not fit is dropped."""


class Tracing:
    """The tracer of this process, if there is one."""

    def __init__(self, settings: TracingSettings) -> None:
        self.requests: RequestSpans | None = None
        self._provider: TracerProvider | None = None
        if settings.endpoint is None:
            return
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
            resource=Resource.create(
                {SERVICE_NAME: settings.service_name, SERVICE_VERSION: VERSION}
            ),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(settings.traces_url, timeout=SEND_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUE,
                schedule_delay_millis=settings.interval_s * 1000,
            )
        )
        self.requests = RequestSpans(self._provider.get_tracer("scaigrid"))

    async def close(self) -> None:
        """Send what is left. A collector that does not take it holds nothing up for long."""
        if self._provider is None:
            return
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_S)
