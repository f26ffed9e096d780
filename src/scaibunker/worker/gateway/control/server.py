"""The gateway's side: does what the daemon asks, for as long as one is connected, and goes on serving without."""

import asyncio
import json
import os
import socket
from collections.abc import Coroutine

import structlog
from pydantic import ValidationError

from scaibunker.worker.gateway.control.channel import Broken, Channel
from scaibunker.worker.gateway.control.messages import (
    REQUEST,
    Answer,
    Attach,
    Change,
    Detach,
    StatusQuery,
    Surround,
)  # fmt: skip
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.gateway.table import NotAttached, Table

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 8
MAX_UNDER_WAY = 64
ACCEPT_PAUSE_S = 0.2


class ControlServer:
    """`uid`: the daemon's; no other is listened to. `surroundings` is changed in place; nobody is attached before it
    was set once, for what it forbids is not known yet."""

    def __init__(self, table: Table, surroundings: Surroundings, version: str, uid: int) -> None:
        self._table = table
        self._surroundings = surroundings
        self._version = version
        self._uid = uid
        self._set = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._channels: set[Channel] = set()

    def close(self) -> None:
        """Listen to nobody any more. What is under way is done, and who asked for it hears nothing: so nobody takes
        for done, or for refused, what the next gateway will be asked."""
        for channel in list(self._channels):
            channel.close()

    async def run(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("gateway_control_accept", error=str(error))
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            channel = Channel(sock)
            if channel.peer()[1] != self._uid or len(self._channels) >= MAX_CONNECTIONS:
                channel.close()
                continue
            self._channels.add(channel)
            self._go(self._converse(channel))

    async def _converse(self, channel: Channel) -> None:
        under_way = asyncio.Semaphore(MAX_UNDER_WAY)
        try:
            while True:
                body, files = await channel.receive()
                await under_way.acquire()
                self._go(self._answer(channel, body, files, under_way))
        except Broken:
            pass
        finally:
            self._channels.discard(channel)
            channel.close()

    async def _answer(
        self, channel: Channel, body: bytes, files: list[int], under_way: asyncio.Semaphore
    ) -> None:
        try:
            answer = await self._done(body, files)
            await channel.send(answer.model_dump_json().encode())
        except Broken:
            pass  # who asked is gone, and will ask again
        finally:
            under_way.release()

    async def _done(self, body: bytes, files: list[int]) -> Answer:
        try:
            request = REQUEST.validate_json(body)
            sockets = request.sockets.sockets(files) if isinstance(request, Attach) else None
        except (ValidationError, ValueError) as error:
            for number in files:
                os.close(number)
            log.error("gateway_control_not_understood", error=type(error).__name__)
            return Answer(id=_id_of(body), error="the gateway does not understand this")
        try:
            match request:
                case Attach() if sockets is not None:
                    if not self._set:
                        sockets.close()
                        return Answer(id=request.id, error="the surroundings are not known yet")
                    await self._table.attach(
                        request.name, request.bunker_id, request.policy.policy(), sockets
                    )
                    return self._with_failed(request)
                case Change():
                    await self._table.change(
                        request.name, request.bunker_id, request.policy.policy()
                    )
                    return self._with_failed(request)
                case Detach():
                    await self._table.detach(request.name)
                case Surround():
                    self._surround(request.surroundings())
                case StatusQuery():
                    return Answer(
                        id=request.id,
                        version=self._version,
                        machines=self._table.names,
                        failed=dict(self._table.failed),
                        counts=dict(self._table.counts.all()),
                        connections_open=self._table.counts.connections_open,
                    )
        except NotAttached as error:
            return Answer(id=request.id, error=str(error))
        except Exception as error:
            log.error("gateway_control_failed", kind=request.kind, exc_info=error)
            return Answer(id=request.id, error=f"{type(error).__name__}: {error}")
        return Answer(id=request.id)

    def _with_failed(self, request: Attach | Change) -> Answer:
        failed = self._table.failed.get(request.name)
        return Answer(id=request.id, failed={request.name: failed} if failed else {})

    def _surround(self, new: Surroundings) -> None:
        shared = self._surroundings
        shared.never, shared.upstreams = new.never, new.upstreams
        shared.ttl_min_s, shared.ttl_max_s = new.ttl_min_s, new.ttl_max_s
        self._set = True

    def _go(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _id_of(body: bytes) -> int:
    """So that even what is not understood gets its answer; 0 if it has none."""
    try:
        message = json.loads(body)
    except ValueError:
        return 0
    number = message.get("id") if isinstance(message, dict) else None
    return number if isinstance(number, int) else 0
