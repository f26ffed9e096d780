"""Passing a request on to the guest agent and its answer back, byte for byte, with back-pressure.

Both directions run at once: a command's output comes while its input is still being sent. A caller
that goes away cancels the handler, and that resets the stream in the guest.
"""

import asyncio

from aiohttp import web

from scaibunker.worker.errors import GuestUnreachable
from scaibunker.worker.guest.connection import GuestConnection, GuestStream, Headers

CHUNK_BYTES = 64 * 1024
SMALL_BODY = 64 * 1024
"""A body up to this size is read and sent at once."""
QUICK_ANSWER_S = 0.05
"""A quick answer is collected for so long and then sent in one piece."""
QUICK_ANSWER_BYTES = 64 * 1024
REQUEST_HEADERS = ("range", "content-type")
ANSWER_HEADERS = ("content-type", "content-range", "accept-ranges", "x-file-entry")


async def stream_answer(
    request: web.Request, connection: GuestConnection, method: str, path: str
) -> web.StreamResponse:
    """The agent's answer to this request. Raises GuestUnreachable before the answer has begun; a
    guest that breaks off later breaks the answer off too."""
    headers: Headers = [
        (name, request.headers[name]) for name in REQUEST_HEADERS if name in request.headers
    ]
    has_body = request.body_exists
    stream = await connection.open(method, path, headers, has_body=has_body)
    sender: asyncio.Task[None] | None = None
    try:
        if has_body:
            sender = await _send_body(request, connection, stream)
        await _first_of(stream, sender)
        return await _answer(request, stream)
    finally:
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        if not stream.ended:
            stream.reset()


async def _send_body(
    request: web.Request, connection: GuestConnection, stream: GuestStream
) -> asyncio.Task[None] | None:
    """A small body goes out now; a long one in a task of its own, which is returned."""
    length = request.content_length
    if length is not None and length <= SMALL_BODY:
        await connection.send(stream, await request.read())
        connection.finish(stream)
        return None

    async def send() -> None:
        async for chunk in request.content.iter_chunked(CHUNK_BYTES):
            await connection.send(stream, chunk)
        connection.finish(stream)

    return asyncio.create_task(send())


async def _first_of(stream: GuestStream, sender: asyncio.Task[None] | None) -> None:
    """Wait for the status; a caller that fails to send its body ends the wait."""
    if sender is None:
        await stream.response()
        return
    response = asyncio.create_task(stream.response())
    try:
        await asyncio.wait([response, sender], return_when=asyncio.FIRST_COMPLETED)
        if sender.done() and sender.exception() is not None:
            raise ConnectionResetError("the caller broke off its body")
        await response
    finally:
        response.cancel()
        await asyncio.gather(response, return_exceptions=True)


async def _answer(request: web.Request, stream: GuestStream) -> web.StreamResponse:
    headers = {n: stream.headers[n] for n in ANSWER_HEADERS if n in stream.headers}
    head, complete = await _quick(stream)
    if complete:
        return web.Response(status=stream.status, headers=headers, body=head)
    response = web.StreamResponse(status=stream.status, headers=headers)
    if "content-length" in stream.headers:
        response.content_length = int(stream.headers["content-length"])
    await response.prepare(request)
    if head:
        await response.write(head)
    try:
        async for chunk in stream.chunks():
            await response.write(chunk)
    except GuestUnreachable:
        # The status is out already: a body that ends without its end is the only way to say it.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _quick(stream: GuestStream) -> tuple[bytes, bool]:
    """What comes within a moment; true if that was all."""
    head = bytearray()
    try:
        async with asyncio.timeout(QUICK_ANSWER_S):
            async for chunk in stream.chunks():
                head += chunk
                if len(head) > QUICK_ANSWER_BYTES:
                    return bytes(head), False
    except TimeoutError:
        return bytes(head), False
    return bytes(head), True
