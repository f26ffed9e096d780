"""Passing a request on to the guest agent and its answer back, byte for byte, with back-pressure.

Both directions run at once: a command's output comes while its input is still being sent. A caller
that goes away cancels the handler, and that resets the stream in the guest.
"""

import asyncio

from aiohttp import web

from scaibunker.worker.errors import GuestUnreachable
from scaibunker.worker.guest.connection import SMALL_BODY
from scaibunker.worker.guest.port import Body, Session
from scaibunker.worker.guest.stream import GuestStream, Headers

CHUNK_BYTES = 64 * 1024
BEGINS_WITHIN_S = 120.0
"""Seconds until an answer begins: a machine under load is slow, one that hangs must not hang us."""
QUICK_ANSWER_S = 0.05
"""A quick answer is collected for so long and then sent in one piece."""
QUICK_ANSWER_BYTES = 64 * 1024
REQUEST_HEADERS = ("range", "content-type")
ANSWER_HEADERS = ("content-type", "content-range", "accept-ranges", "x-file-entry")


async def stream_answer(
    request: web.Request,
    connection: Session,
    method: str,
    path: str,
    begins_within_s: float | None = BEGINS_WITHIN_S,
) -> web.StreamResponse:
    """The agent's answer to this request. Raises GuestUnreachable before the answer has begun; a
    guest that breaks off later breaks the answer off too. `begins_within_s` is None where the
    answer waits for something without a bound of ours."""
    headers: Headers = [
        (name, request.headers[name]) for name in REQUEST_HEADERS if name in request.headers
    ]
    stream = await connection.request(method, path, headers, await _body(request))
    try:
        try:
            async with asyncio.timeout(begins_within_s):
                await stream.response()
        except TimeoutError:
            # Perhaps the guest disturbs its own channel: the next request begins a fresh session.
            connection.close()
            raise GuestUnreachable(
                f"the guest agent did not answer within {begins_within_s:g} s"
            ) from None
        return await _answer(request, stream)
    finally:
        stream.reset()


def raw_query(request: web.Request) -> str:
    """The query as it was sent, with its "?": decoding it here would make another path of it."""
    _, mark, query = request.raw_path.partition("?")
    return mark + query


async def _body(request: web.Request) -> Body:
    """A small body whole, so that it goes out in one piece; a long one as it comes."""
    if not request.body_exists:
        return None
    length = request.content_length
    if length is not None and length <= SMALL_BODY:
        return await request.read()
    return request.content.iter_chunked(CHUNK_BYTES)


async def _answer(request: web.Request, stream: GuestStream) -> web.StreamResponse:
    headers = {n: stream.headers[n] for n in ANSWER_HEADERS if n in stream.headers}
    head, complete = await _quick(stream)
    if complete:
        return web.Response(status=stream.status, headers=headers, body=head)
    response = web.StreamResponse(status=stream.status, headers=headers)
    if "content-length" in stream.headers:
        response.content_length = int(stream.headers["content-length"])
    try:
        await response.prepare(request)
        if head:
            await response.write(head)
        async for chunk in stream.chunks():
            await response.write(chunk)
        await response.write_eof()
    except GuestUnreachable:
        # The status is out already: a body that ends without its end is the only way to say it.
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:  # the caller has gone; the stream is reset on the way out
        pass
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
