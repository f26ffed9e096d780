"""Telling the controller how things are: every interval, and at once when something changed.

A heartbeat is the whole truth about this worker, so a lost one costs nothing: the next says it all.
"""

import asyncio
from collections.abc import Callable

import aiohttp
import structlog

from scaibunker.wire.worker import TOKEN_HEADER
from scaibunker.wire.worker.heartbeat import Heartbeat, HeartbeatAnswer
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.fleet import Fleet

log = structlog.get_logger(__name__)

PATH = "/v1/modules/scaibunker/heartbeat"
TIMEOUT_S = 5.0
RETRY_S = 0.5
GATHER_S = 0.002
"""Changes that come together are told together."""


class Reporter:
    """`news` is called from anywhere in the daemon; `run` sends."""

    def __init__(
        self, url: str, token: str, compose: Callable[[], Heartbeat], interval_s: float
    ) -> None:
        self._url = url.rstrip("/") + PATH
        self._headers = {TOKEN_HEADER: f"Bearer {token}"}
        self._compose = compose
        self._interval_s = interval_s
        self._changed = asyncio.Event()
        self._takedowns: set[asyncio.Task[None]] = set()
        self._leaving: set[str] = set()

    def news(self) -> None:
        self._changed.set()

    async def run(self, fleet: Fleet) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
        ) as session:
            failing = False
            while True:
                self._changed.clear()
                try:
                    answer = await self._send(session)
                except Exception as error:
                    # Whatever it is: a worker that falls silent is lost with all its machines.
                    if not failing:
                        log.warning("controller_unreachable", error=repr(error))
                    failing = True
                    await asyncio.sleep(RETRY_S)
                    continue
                if failing:
                    log.info("controller_reached")
                failing = False
                self._act(answer, fleet)
                await self._wait()

    async def _send(self, session: aiohttp.ClientSession) -> HeartbeatAnswer:
        body = self._compose().model_dump_json()
        async with session.post(
            self._url, data=body, headers={"Content-Type": "application/json"}
        ) as response:
            text = await response.text()
            if response.status != 200:
                raise aiohttp.ClientError(
                    f"the controller answered {response.status}: {text[:300]}"
                )
            return HeartbeatAnswer.model_validate_json(text)

    def _act(self, answer: HeartbeatAnswer, fleet: Fleet) -> None:
        self._interval_s = answer.interval_s
        for machine in fleet:
            for exec_id in answer.acknowledged_execs:
                machine.spools.acknowledge(exec_id)
            if machine.id in answer.terminate and machine.id not in self._leaving:
                self._leaving.add(machine.id)
                task = asyncio.create_task(self._take_down(fleet, machine.id))
                self._takedowns.add(task)
                task.add_done_callback(self._takedowns.discard)

    async def _take_down(self, fleet: Fleet, machine_id: str) -> None:
        try:
            await fleet.destroy(machine_id)
        except WorkerFault as fault:  # asked for again at the next heartbeat
            log.warning("takedown_failed", bunker_id=machine_id, error=fault.message)
        finally:
            self._leaving.discard(machine_id)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._interval_s):
                await self._changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_S)
