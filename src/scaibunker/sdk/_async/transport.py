"""Sends calls and gives answers: time-outs, retries, bounded reading, errors as exceptions.

Knows HTTP and the envelope; what is asked and what the records mean is known by the files beside it.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import httpx
from pydantic import BaseModel

from scaibunker import __version__
from scaibunker.sdk import _answers
from scaibunker.sdk._calls import Call
from scaibunker.sdk._runtime import AsyncSleep, asleep
from scaibunker.sdk.config import Endpoint, Timeouts
from scaibunker.sdk.errors import ApiError, ConnectionFailed, ResponseInvalid, StreamBroken
from scaibunker.sdk.retries import RetryPolicy
from scaibunker.sdk.sse import ServerEvent, SseDecoder

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
AsyncBody = Callable[[], AsyncIterable[bytes]]
"""Makes the bytes of a request anew for each attempt."""

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Bytes of one JSON answer at most: a page of 200 records, each as large as it may be."""
MAX_FAILURE_BYTES = 1024 * 1024
STREAM_SILENCE_S = 60.0
"""Seconds without a byte, keep-alives included (one per 15 s), after which a stream is dead."""
_IDLE_CONNECTION_S = 3.0  # less than servers keep one, so that a dying connection is not picked


class AsyncTransport:
    """A connection pool to one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeouts: Timeouts,
        retries: RetryPolicy,
        http_transport: httpx.AsyncBaseTransport | None = None,
        sleep: AsyncSleep = asleep,
    ) -> None:
        self.endpoint = endpoint
        self._timeouts = timeouts
        self.retries = retries
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            base_url=endpoint.base_url,
            headers={
                "Authorization": f"Bearer {endpoint.api_key}",
                "Accept-Encoding": "identity",  # no bombs, and bytes arrive when they are sent
                "User-Agent": f"scaibunker-python/{__version__}",
            },
            verify=_trust(endpoint),
            # A proxy for the outside world must not see what is said to this machine.
            trust_env=not endpoint.is_local,
            limits=httpx.Limits(max_connections=200, keepalive_expiry=_IDLE_CONNECTION_S),
            transport=http_transport,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def pause(self, attempt: int) -> None:
        """Wait as the retries say, before attempt `attempt + 1`."""
        await self._sleep(self.retries.backoff(attempt))

    async def answer(self, call: Call, content: AsyncBody | None = None) -> dict[str, object]:
        """Send a call; the envelope of its answer."""

        async def read(response: httpx.Response) -> dict[str, object]:
            return _answers.envelope(await _bounded(response, MAX_ANSWER_BYTES))

        return await self._with_retries(call, content, read)

    async def record(self, call: Call, model: type[M], content: AsyncBody | None = None) -> M:
        """Send a call; the record in its answer."""
        return _answers.record(model, (await self.answer(call, content))["data"])

    async def done(self, call: Call) -> None:
        """Send a call whose answer, an envelope or nothing, says only that it was done."""

        async def read(response: httpx.Response) -> None:
            if content := await _bounded(response, MAX_ANSWER_BYTES):
                _answers.envelope(content)

        await self._with_retries(call, None, read)

    async def pages(self, call: Call, model: type[M]) -> AsyncIterator[M]:
        """The records of a paged list, page after page."""
        seen = set()
        cursor: object = None
        while True:
            page = await self.answer(_with_cursor(call, cursor))
            rows = page["data"]
            if not isinstance(rows, list):
                raise ResponseInvalid("the answer to a listing has no list")
            for row in rows:
                yield _answers.record(model, row)
            if not page.get("has_more"):
                return
            cursor = page.get("next_cursor")
            if not isinstance(cursor, str) or cursor in seen:
                raise ResponseInvalid("the server repeats itself: its cursor leads nowhere new")
            seen.add(cursor)

    @asynccontextmanager
    async def raw(self, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a call; its answer as raw bytes, chunk by chunk, whole or an exception."""
        response = await self._with_retries(call, None, _left_open)
        try:
            _check_bytes(call, response)
            yield _chunks(response, self.endpoint.base_url)
        finally:
            await response.aclose()

    @asynccontextmanager
    async def events(self, call: Call) -> AsyncIterator[AsyncIterator[ServerEvent]]:
        """Send a call; its answer as server-sent events up to, and without, `[DONE]`.

        An `error` event is raised, and silence of `STREAM_SILENCE_S` ends it, whatever the client's
        own time-outs. Leaving early tells the server by closing the connection.
        """
        call = replace(
            call,
            headers={**call.headers, "Accept": "text/event-stream"},
            read_timeout=STREAM_SILENCE_S,
        )
        response = await self._with_retries(call, None, _left_open)
        try:
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise ResponseInvalid("the answer is not a stream of events")
            yield _events(response, self.endpoint.base_url)
        finally:
            await response.aclose()

    async def _with_retries(
        self,
        call: Call,
        content: AsyncBody | None,
        read: Callable[[httpx.Response], Awaitable[T]],
    ) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(call, content, read)
            except (ApiError, ConnectionFailed) as error:
                delay = self.retries.delay(
                    error, attempt=attempt, repeatable=call.repeatable, reads=call.reads
                )
                if delay is None:
                    raise
            await self._sleep(delay)

    async def _attempt(
        self,
        call: Call,
        content: AsyncBody | None,
        read: Callable[[httpx.Response], Awaitable[T]],
    ) -> T:
        request = self._request(call, content)
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code >= 300:
                    text = await _bounded(response, MAX_FAILURE_BYTES)
                    raise _answers.failure(response.status_code, response.headers, text)
                return await read(response)
            except BaseException:
                await response.aclose()
                raise
        except httpx.HTTPError as error:
            raise _answers.connection_failure(error, self.endpoint.base_url) from error

    def _request(self, call: Call, content: AsyncBody | None) -> httpx.Request:
        limits = self._timeouts
        body: AsyncIterable[bytes] | str | None = content() if content else None
        headers = call.all_headers()
        if call.body is not None:
            body = call.body.model_dump_json(exclude_unset=True)
            headers["Content-Type"] = "application/json"
        return self._http.build_request(
            call.method,
            call.path,
            params=httpx.QueryParams(tuple(call.query())),
            headers=headers,
            content=body,
            timeout=httpx.Timeout(
                connect=limits.connect,
                read=call.read_timeout or limits.read,
                write=limits.write,
                pool=limits.pool,
            ),
        )


async def _left_open(response: httpx.Response) -> httpx.Response:
    return response


async def _bounded(response: httpx.Response, limit: int) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > limit:
            raise ResponseInvalid(f"the answer is longer than {limit} bytes")
    await response.aclose()
    return bytes(content)


async def _chunks(response: httpx.Response, base_url: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except httpx.HTTPError as error:
        raise _broken(error, base_url) from error


async def _events(response: httpx.Response, base_url: str) -> AsyncIterator[ServerEvent]:
    decoder = SseDecoder()
    async for chunk in _chunks(response, base_url):
        for event in decoder.feed(chunk):
            if event.data == "[DONE]":
                return
            if event.name == "error":
                raise _answers.stream_error(event, response.headers.get("x-request-id"))
            yield event
    raise StreamBroken(f"{base_url} ended the stream before its end was announced")


def _check_bytes(call: Call, response: httpx.Response) -> None:
    if "Range" in call.headers and response.status_code != httpx.codes.PARTIAL_CONTENT:
        raise ResponseInvalid("the server sent the whole instead of the part asked for")
    if not {"content-length", "transfer-encoding"} & set(response.headers):
        raise ResponseInvalid("the answer has no length: whether it is whole cannot be known")


def _broken(error: httpx.HTTPError, base_url: str) -> StreamBroken:
    if isinstance(error, httpx.TimeoutException):
        return StreamBroken(f"{base_url} sent nothing for too long")
    return StreamBroken(f"lost the stream from {base_url}: {error or type(error).__name__}")


def _with_cursor(call: Call, cursor: object) -> Call:
    if cursor is None:
        return call
    return replace(call, params={**call.params, "cursor": str(cursor)})


def _trust(endpoint: Endpoint) -> ssl.SSLContext:
    """Whom to trust: the usual authorities, or those that SSL_CERT_FILE or SSL_CERT_DIR name, and those that the administrator of
    this machine does. Reading them takes a while, and plain HTTP needs none."""
    if endpoint.base_url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context
