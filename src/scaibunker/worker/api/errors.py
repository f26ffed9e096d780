"""Faults as HTTP answers. The only place on the worker that knows statuses."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.machines import WorkerError
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.guest.agent import AgentRefusal

log = structlog.get_logger(__name__)

STATUS = {
    Code.SERVICE_TOKEN_INVALID: 401,
    Code.BUNKER_NOT_FOUND: 404,
    Code.EXEC_NOT_FOUND: 404,
    Code.SNAPSHOT_NOT_FOUND: 404,
    Code.BRIDGE_NOT_FOUND: 404,
    Code.BUNKER_NOT_RUNNING: 409,
    Code.NAME_CONFLICT: 409,
    Code.BRIDGE_IN_USE: 409,
    Code.IMAGE_NOT_READY: 409,
    Code.WORKER_UNAVAILABLE: 409,  # no use in asking this one again: another one may have room
    Code.VALIDATION_ERROR: 422,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.GUEST_UNREACHABLE: 502,
    Code.PROTOCOL_MISMATCH: 503,  # a controller that does not know the code tries again, and gives nothing up
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(fault: WorkerFault) -> web.Response:
    """The fault's status and body; the agent's own refusals keep their status."""
    if isinstance(fault, AgentRefusal):
        return _error(fault.status, fault.code, fault.message, fault.field)
    return _error(STATUS.get(fault.code, 500), fault.code, fault.message)


def _error(status: int, code: Code, message: str, field: str | None = None) -> web.Response:
    body = WorkerError(code=code, message=message, field=field)
    return web.Response(status=status, text=body.model_dump_json(), content_type="application/json")


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Faults become answers; a bug becomes a 500 that says nothing about us."""
    try:
        return await handler(request)
    except WorkerFault as fault:
        return answer(fault)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = Code.PAYLOAD_TOO_LARGE if error.status == 413 else Code.NOT_FOUND
        return _error(error.status, code, error.reason)
    except ConnectionError:
        raise
    except Exception:
        log.exception("request_broke", path=request.path)
        return answer(WorkerFault("the worker failed at this request"))
