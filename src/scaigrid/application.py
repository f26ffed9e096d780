"""The ASGI application without its operations: error handling, and what stands around every request."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from scaigrid.audit.middleware import AuditMiddleware
from scaigrid.audit.recorder import Recorder
from scaigrid.http import errors
from scaigrid.http.edge import Edge
from scaigrid.http.routes import SECURITY_SCHEMES, described
from scaigrid.metrics.requests import RequestMetrics
from scaigrid.tracing.requests import RequestSpans


class Application(FastAPI):
    """FastAPI, with an OpenAPI document that names the credentials."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=self.version, routes=described(self))
            document["components"]["securitySchemes"] = SECURITY_SCHEMES
            self.openapi_schema = document
        return self.openapi_schema


def make_application(
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    metrics: RequestMetrics,
    spans: RequestSpans | None,
    audit: Recorder | None,
) -> FastAPI:
    """The application. Without `audit` the log of requests is all that is kept of them."""
    app = Application(
        title="ScaiGrid",
        version="1",
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.router.redirect_slashes = False
    if audit is not None:
        app.add_middleware(AuditMiddleware, recorder=audit)
    app.add_middleware(Edge, metrics=metrics, spans=spans)  # the last one is the outermost
    errors.install(app)
    return app
