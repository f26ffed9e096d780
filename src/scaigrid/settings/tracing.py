"""Traces."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from scaigrid.settings.base import Section


class TracingSettings(Section):
    """Traces, sent to an OpenTelemetry collector."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_TRACING_")

    endpoint: str | None = Field(default=None, repr=False)
    """Where the collector takes OTLP over HTTP, without the path: `http://collector:4318`. Nothing
    is traced unless it is set. Headers for it, such as a credential, are the exporter's own
    variable `OTEL_EXPORTER_OTLP_TRACES_HEADERS`."""

    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Which part of the requests is traced, from 0 to 1. A request that comes with a `traceparent`
    does as that says."""

    service_name: Annotated[str, Field(min_length=1, max_length=128)] = "scaigrid"
    """What the process is called in traces."""

    interval_s: Annotated[float, Field(gt=0, le=300)] = 5
    """How long spans are gathered before they are sent, in seconds."""

    @property
    def traces_url(self) -> str:
        """The collector's route for traces."""
        return f"{(self.endpoint or '').rstrip('/')}/v1/traces"

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("it must begin with http:// or https://")
        return value
