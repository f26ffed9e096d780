"""Reading a command's frames from a worker's answer, and never making up how it ended."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator

import aiohttp
import structlog
from pydantic import ValidationError

from scaibunker.controller.relay.domain import Ending
from scaibunker.wire.bounds import MAX_COUNT
from scaibunker.wire.guest.execs import ExecExit
from scaibunker.wire.guest.frames import Decoder, Frame, FrameError, Kind

log = structlog.get_logger(__name__)

END_GRACE_S = 0.5
"""How long the connection may take to end after the last frame, to be kept for the next command."""


class StreamBroken(Exception):
    """The stream of frames ended without saying how the command did. `started`: it had begun."""

    def __init__(self, why: str, *, started: bool) -> None:
        super().__init__(why)
        self.started = started


async def read_frames(
    response: aiohttp.ClientResponse, limit_s: float
) -> AsyncGenerator[Frame, None]:
    """The frames of a command: its output, and as the last one EXIT.

    KEEPALIVE and STARTED are taken care of here. Raises StreamBroken for everything that is not a
    clean end: a connection that breaks, bytes that are no frames, an ERROR frame, `limit_s` over.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    decoder = Decoder()
    started = False
    while True:
        try:
            # Around one read only: a time limit must not be open across a yield.
            async with asyncio.timeout_at(deadline):
                chunk = await response.content.readany()
        except TimeoutError:
            raise StreamBroken("its end was not reported in time", started=started) from None
        except (aiohttp.ClientError, OSError) as error:
            log.warning("stream of frames broke", error=repr(error))
            raise StreamBroken("the connection to its worker broke", started=started) from None
        if not chunk:
            raise StreamBroken("the connection to its worker ended", started=started)
        frames = decoder.feed(chunk)
        while frame := _next(frames, started=started):
            match frame.kind:
                case Kind.STDOUT | Kind.STDERR | Kind.GAP:
                    yield frame
                case Kind.STARTED:
                    started = True
                case Kind.EXIT:
                    await _drain(response)
                    yield frame
                    return
                case Kind.ERROR:
                    raise StreamBroken(_told(frame), started=started)


def _next(frames: Iterator[Frame], *, started: bool) -> Frame | None:
    try:
        return next(frames, None)
    except FrameError as error:
        log.warning("bytes that are no frames", error=str(error))
        raise StreamBroken("its worker sent nonsense", started=started) from None


def ending_of(frame: Frame) -> Ending:
    """How the command ended. Raises StreamBroken if the frame does not really say."""
    try:
        told = ExecExit.model_validate(frame.json())
    except (ValidationError, ValueError):
        raise StreamBroken("its worker's report makes no sense", started=True) from None
    if told.exit_code is None and told.signal is None and not told.timed_out:
        raise StreamBroken("its worker's report says nothing", started=True)
    return Ending(**told.model_dump())


def gap_of(frame: Frame) -> int:
    """How many bytes are missing before this point."""
    try:
        missing = frame.json().get("bytes")
    except ValueError:
        return 0
    return missing if type(missing) is int and 0 < missing <= MAX_COUNT else 0


def _told(frame: Frame) -> str:
    try:
        message = frame.json().get("message")
    except ValueError:
        message = None
    return message[:500] if isinstance(message, str) else "its worker reported an error"


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Wait for the end of the answer; one that sends more than its end is dropped."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(END_GRACE_S):
            await response.content.readany()
