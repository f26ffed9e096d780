"""The connection to Redis.

Everything that uses it must have an answer for the time when Redis is not there: `LiveStoreDown`
says so within the configured time, and after that at once for a moment, so that an outage costs
one time-out and not one per request.
"""

import time
from collections.abc import Awaitable
from typing import TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError, ResponseError

from scaigrid.metrics.registry import Metrics
from scaigrid.settings.redis import RedisSettings
from scaigrid.tracing import spans as tracing

log = structlog.get_logger(__name__)

T = TypeVar("T")

HEALTH_CHECK_S = 5
"""How often a silent subscription is asked whether it is still there."""
HOLD_OFF_S = 1.0
"""How long Redis is left alone after it did not answer."""


class LiveStoreDown(Exception):
    """Redis does not answer."""


class LiveStoreBroken(LiveStoreDown):
    """Redis answers, but what it has under a name of ours is not what we keep there: somebody else
    has written it. Other names may be in order."""


class LiveStore:
    """Owns the connections. Connects at the first use, not when it is made."""

    def __init__(self, settings: RedisSettings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._pool = BlockingConnectionPool.from_url(
            settings.url,
            max_connections=settings.pool_size,
            timeout=settings.timeout_s,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            decode_responses=True,
        )
        self.client: Redis = Redis(connection_pool=self._pool)
        self._down_until = 0.0
        metrics = metrics or Metrics()
        self._failures = metrics.counter("redis_failures", "Commands that Redis did not answer.")
        self._spared = metrics.counter(
            "redis_spared", "Commands that were not sent, because Redis had just failed to answer."
        )

    def listener(self) -> Redis:
        """A client of its own for a subscription, which may be silent for as long as it likes; a
        connection that is broken is noticed by asking now and then. Its user closes it."""
        url = self._settings.url
        tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
        client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=self._settings.timeout_s,
            **tcp,
            health_check_interval=HEALTH_CHECK_S,
            decode_responses=True,
        )
        return client

    def key(self, *parts: str) -> str:
        """The name of a key of ours."""
        return self._settings.key(*parts)

    async def ask(self, command: Awaitable[T]) -> T:
        """The answer to a command of `client`. Raises LiveStoreDown, LiveStoreBroken."""
        now = time.monotonic()
        if now < self._down_until:
            self._spared.inc()
            if hasattr(command, "close"):
                command.close()
            raise LiveStoreDown
        was_down = self._down_until > 0
        if was_down:  # this one looks whether Redis is back, and nobody else waits for that
            self._down_until = now + self._settings.timeout_s + HOLD_OFF_S
        try:
            with tracing.span("redis"):
                answer = await command
        except (RedisError, OSError, TimeoutError) as error:
            if _is_broken(error):  # that is an answer, and others get theirs
                self._down_until = 0.0
                raise LiveStoreBroken from error
            if self._down_until == 0:
                log.warning("redis does not answer", error=repr(error))
            self._failures.inc()
            self._down_until = time.monotonic() + HOLD_OFF_S
            raise LiveStoreDown from error
        if was_down:
            self._down_until = 0.0
            log.info("redis answers again")
        return answer

    async def ping(self) -> None:
        """Raise LiveStoreDown if Redis does not answer."""
        await self.ask(self.client.ping())

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()
        await self._pool.disconnect()


def _is_broken(error: Exception) -> bool:
    """Whether a command was refused because of what is there; scripts and pipelines wrap that in
    words of their own."""
    said = str(error)
    return isinstance(error, ResponseError) and ("WRONGTYPE" in said or "not an integer" in said)
