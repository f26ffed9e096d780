"""Hints from replica to replica: "look at this again". At most once each, and none is needed:
whoever misses one finds out by itself a little later.

A hint reaches the handlers of its own process at once, and those of the others through Redis.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from scaigrid import logs
from scaigrid.ids import new_token
from scaigrid.live.store import HEALTH_CHECK_S, LiveStore, LiveStoreDown
from scaigrid.loops import end

log = structlog.get_logger(__name__)

Handler = Callable[[str], None]

MAX_PENDING = 10_000
"""Hints that wait to be sent; while Redis is away the oldest are dropped."""
_PAUSE_S = 1.0


class Bus:
    """One channel for all topics."""

    def __init__(self, live: LiveStore) -> None:
        self._live = live
        self._channel = live.key("hints")
        self._self = new_token()
        self._handlers: dict[str, list[Handler]] = {}
        self._after_gaps: list[Callable[[], None]] = []
        self._pending: deque[str] = deque(maxlen=MAX_PENDING)
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Call `handler` with the key of every hint of the topic. It must not block."""
        self._handlers.setdefault(topic, []).append(handler)

    def after_gap(self, handler: Callable[[], None]) -> None:
        """Call `handler` whenever the bus has begun to listen: what others have hinted at before that
        was not heard. It must not block."""
        self._after_gaps.append(handler)

    def publish(self, topic: str, key: str) -> None:
        """Hint at `key`, here and in every other replica. Never fails, never waits."""
        self._deliver(topic, key)
        self._pending.append(json.dumps([self._self, topic, key]))
        self._arrived.set()

    async def start(self) -> None:
        """Begin to send and to listen."""
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        """End both."""
        await end(self._tasks)

    async def _send(self) -> None:
        logs.of_system("bus")
        while True:
            await self._arrived.wait()
            while self._pending:
                message = self._pending[0]
                try:
                    await self._live.ask(self._live.client.publish(self._channel, message))
                except LiveStoreDown:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if self._pending and self._pending[0] is message:
                    self._pending.popleft()
            self._arrived.clear()

    async def _listen(self) -> None:
        logs.of_system("bus")
        while True:
            try:
                async with self._live.listener() as client, client.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    while True:
                        message = await pubsub.get_message(timeout=HEALTH_CHECK_S)
                        if message is None:
                            continue
                        if (
                            message["type"] == "subscribe"
                        ):  # now, and again after each new connection
                            self._tell_of_gap()
                        elif message["type"] == "message":
                            self._take(message["data"])
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("the bus is not connected", error=repr(error))
            except Exception:
                log.exception("the bus has failed")
            await asyncio.sleep(_PAUSE_S)

    def _tell_of_gap(self) -> None:
        for handler in self._after_gaps:
            try:
                handler()
            except Exception:
                log.exception("a gap was not taken")

    def _take(self, data: str) -> None:
        try:
            sender, topic, key = json.loads(data)
        except (ValueError, TypeError):
            log.warning("a hint makes no sense")
            return
        if sender != self._self:
            self._deliver(str(topic), str(key))

    def _deliver(self, topic: str, key: str) -> None:
        for handler in self._handlers.get(topic, ()):
            try:
                handler(key)
            except Exception:
                log.exception("a hint was not taken", topic=topic)
