"""The trigger: arq's cron jobs, which reach one of the background workers at each slot.

arq and Redis decide who tries first and when, no more: whether there is anything to do, and who
does it, is decided by the table (`runner`). While Redis is away the table alone is asked. Jobs are
JSON, not pickles: whoever can write to Redis must not be able to run code here.
"""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from datetime import UTC
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.cron import cron
from arq.worker import Worker
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from scaigrid.settings.redis import RedisSettings
from scaigrid.tasks.domain import DAY, HOUR, MINUTE, Daily, Every
from scaigrid.tasks.runner import Runner

log = structlog.get_logger(__name__)

RECONNECT_S = 2.0
CLOSE_S = 3.0
POLL_S = (0.35, 0.5)
HEALTH_S = 15
"""How often arq writes into Redis that a worker lives."""


class Queue:
    """One arq worker, made anew whenever Redis was away."""

    def __init__(self, runner: Runner, settings: RedisSettings) -> None:
        self._runner = runner
        self._settings = settings
        self.connected: bool | None = None
        """Whether Redis answers; None until it was asked."""

    async def run(self) -> None:
        """Take triggers for ever."""
        while True:
            pool = self._pool()
            worker = self._worker(pool)
            try:
                await worker.async_run()
            except (RedisError, OSError, TimeoutError) as error:
                if self.connected is not False:
                    log.warning("redis does not answer; tasks run without it", error=repr(error))
                self.connected = False
            except Exception:
                log.exception("the task queue has failed")
            finally:
                await _close(worker)
                await pool.disconnect()
            await asyncio.sleep(RECONNECT_S)

    async def _connected(self, ctx: dict[Any, Any]) -> None:  # noqa: ARG002
        log.info("redis triggers tasks")
        self.connected = True

    def _pool(self) -> BlockingConnectionPool:
        settings = self._settings
        return BlockingConnectionPool.from_url(
            settings.url,
            max_connections=settings.pool_size,
            timeout=settings.timeout_s,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
        )

    def _worker(self, pool: BlockingConnectionPool) -> Worker:
        queue = self._settings.key("tasks")
        return Worker(
            on_startup=self._connected,
            cron_jobs=[
                # Keys of arq's own are named after jobs, so that these carry our prefix.
                cron(
                    self._trigger(name),
                    name=self._settings.key(name),
                    max_tries=None,
                    **when(task.schedule),
                )
                for name, task in self._runner.tasks.items()
            ],
            queue_name=queue,
            redis_pool=ArqRedis(
                pool, job_serializer=_dump, job_deserializer=json.loads, default_queue_name=queue
            ),
            job_serializer=_dump,
            job_deserializer=json.loads,
            handle_signals=False,
            health_check_interval=HEALTH_S,
            # With one pace for all, whoever is a little ahead would be so at every slot.
            poll_delay=random.uniform(*POLL_S),  # noqa: S311
            job_timeout=DAY,  # the runner has limits of its own
            max_jobs=len(self._runner.tasks),
            keep_result=0,
            log_results=False,
            timezone=UTC,
        )

    def _trigger(self, name: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def trigger(_: dict[Any, Any]) -> None:
            # A worker that loses Redis cancels its jobs; the task goes on.
            await asyncio.shield(self._runner.start(name))

        return trigger


def when(schedule: Every | Daily) -> dict[str, Any]:
    """A schedule as arq's cron understands it."""
    if isinstance(schedule, Daily):
        return {"hour": schedule.hour, "minute": schedule.minute, "second": 0}
    step, delay = schedule.seconds, schedule.delay_s
    if step < MINUTE:
        return {"second": set(range(delay, MINUTE, step))}
    if step < HOUR:
        return {"minute": set(range(0, HOUR // MINUTE, step // MINUTE)), "second": delay}
    hours = set(range(0, DAY // HOUR, step // HOUR))
    return {"hour": hours, "minute": 0, "second": delay}


async def _close(worker: Worker) -> None:
    """Close it, in a task of its own: it cancels what is in its way, and Redis may be away."""
    closing = asyncio.create_task(worker.close())
    await asyncio.wait((closing,), timeout=CLOSE_S)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)


def _dump(job: dict[str, Any]) -> bytes:
    return json.dumps(job, default=repr).encode()
