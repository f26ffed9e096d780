"""Answers of a simulated worker, and those that it does not give."""

import asyncio
from typing import Any

from aiohttp import web

from scaibunker.wire.worker.machines import WorkerError


class refusal(web.HTTPException):  # noqa: N801 - raised like a function is called
    """An error answer of the protocol."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status_code = status
        super().__init__(
            text=WorkerError(code=code, message=message).model_dump_json(),
            content_type="application/json",
        )


def refuse(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)


async def never(_: web.Request) -> web.StreamResponse:
    """A fault: no answer."""
    await asyncio.sleep(3600)
    raise AssertionError


def answer_with(model: Any, status: int = 200) -> web.Response:
    return web.Response(
        text=model.model_dump_json(), status=status, content_type="application/json"
    )
