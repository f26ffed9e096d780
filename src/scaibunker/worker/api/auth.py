"""Only the controller and peers may ask: a shared token, compared in constant time."""

import hmac

from aiohttp import web
from aiohttp.typedefs import Middleware

from scaibunker.wire.codes import Code
from scaibunker.wire.worker import TOKEN_HEADER
from scaibunker.worker.api.errors import Handler, answer
from scaibunker.worker.errors import WorkerFault


def middleware(tokens: tuple[str, ...]) -> Middleware:
    """A middleware that refuses every request without one of the tokens."""
    expected = [f"Bearer {token}".encode() for token in tokens]

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(TOKEN_HEADER, "").encode("utf-8", "surrogateescape")
        same = [hmac.compare_digest(given, each) for each in expected]
        if not any(same):  # all are compared, so that the time does not tell which it was
            return answer(
                WorkerFault("the worker token is missing or wrong", Code.SERVICE_TOKEN_INVALID)
            )
        return await handler(request)

    return check
