"""Requests of a version of the worker protocol that this worker does not understand are refused
before anything is done: the other side must not think that half of it was understood."""

from aiohttp import web
from aiohttp.typedefs import Middleware

from scaibunker.wire.codes import Code
from scaibunker.wire.worker import PROTOCOL_HEADER
from scaibunker.wire.worker.protocol import Versions, version_of
from scaibunker.worker.api.errors import Handler, answer
from scaibunker.worker.errors import WorkerFault


def middleware(spoken: Versions) -> Middleware:
    """A middleware that refuses every request of another version."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        version = version_of(request.headers.get(PROTOCOL_HEADER))
        if version is None:
            return answer(WorkerFault(f"{PROTOCOL_HEADER} names no version", Code.VALIDATION_ERROR))
        if version not in spoken:
            older = spoken.older_side(version, "worker", "controller")
            return answer(
                WorkerFault(
                    f"the controller speaks version {version} of the worker protocol, this worker "
                    f"{spoken}; upgrade the {older}",
                    Code.PROTOCOL_MISMATCH,
                )
            )
        return await handler(request)

    return check
