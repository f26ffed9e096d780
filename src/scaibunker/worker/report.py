"""Telling the controller how things are: every interval, and at once when something changed.

A heartbeat is the whole truth about this worker, so a lost one costs nothing: the next says it all.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping

import aiohttp
import structlog

from scaibunker.wire.codes import Code
from scaibunker.wire.worker import TOKEN_HEADER
from scaibunker.wire.worker.heartbeat import Heartbeat, HeartbeatAnswer
from scaibunker.wire.worker.protocol import SPOKEN, Versions
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.network.peers import Peers

log = structlog.get_logger(__name__)

PATH = "/v1/modules/scaibunker/heartbeat"
TIMEOUT_S = 5.0
RETRY_S = 0.5
MISMATCH_RETRY_S = 30.0
"""Seconds until a controller of another version is asked again: somebody has to upgrade it first."""
LONG_ANSWER = 64 * 1024
"""Characters of an answer that is read beside the event loop: a long list of addresses takes a moment."""
GATHER_S = 0.002
"""Changes that come together are told together."""


class NotUnderstood(Exception):
    """The controller and this worker do not speak the same version of the worker protocol."""


class Reporter:
    """`news` is called from anywhere in the daemon; `run` sends. `answered` hears of each heartbeat that was taken."""

    def __init__(
        self,
        url: str,
        token: str,
        compose: Callable[[], Heartbeat],
        interval_s: float,
        *,
        peers: Peers | None = None,
        answered: Callable[[Heartbeat], None] = lambda _: None,
        tls: ssl.SSLContext | None = None,
        spoken: Versions = SPOKEN,
        mismatch_retry_s: float = MISMATCH_RETRY_S,
    ) -> None:
        self._tls = tls
        self._peers = peers or Peers()
        self._answered = answered
        self._spoken = spoken
        self._mismatch_retry_s = mismatch_retry_s
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
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            connector=aiohttp.TCPConnector(ssl=self._tls or True),
        ) as session:
            failing = False
            refused = ""
            while True:
                self._changed.clear()
                told = {machine.id: machine for machine in fleet}
                try:
                    answer = await self._send(session)
                except NotUnderstood as mismatch:
                    # Machines run on; nothing is asked of anybody until the other side is upgraded.
                    if refused != str(mismatch):
                        refused = str(mismatch)
                        log.error("protocol_mismatch", reason=refused, understood=str(self._spoken))
                    await asyncio.sleep(self._mismatch_retry_s)
                    continue
                except Exception as error:
                    # Whatever it is: a worker that falls silent is lost with all its machines.
                    if not failing:
                        log.warning("controller_unreachable", error=repr(error))
                    failing = True
                    await asyncio.sleep(RETRY_S)
                    continue
                if failing:
                    log.info("controller_reached")
                if refused:
                    log.info("protocol_understood")
                failing, refused = False, ""
                self._act(answer, fleet, told)
                if self._peers.take(answer.vicinity):
                    await asyncio.to_thread(self._peers.keep)
                await self._wait()

    async def _send(self, session: aiohttp.ClientSession) -> HeartbeatAnswer:
        report = self._compose()
        async with session.post(
            self._url, data=report.model_dump_json(), headers={"Content-Type": "application/json"}
        ) as response:
            text = await response.text()
            if response.status != 200:
                _raise_if_not_understood(text)
                raise aiohttp.ClientError(
                    f"the controller answered {response.status}: {text[:300]}"
                )
            if len(text) > LONG_ANSWER:
                answer = await asyncio.to_thread(HeartbeatAnswer.model_validate_json, text)
            else:
                answer = HeartbeatAnswer.model_validate_json(text)
            if answer.protocol not in self._spoken:
                raise NotUnderstood(
                    f"the controller speaks version {answer.protocol}, this worker {self._spoken}"
                )
            self._answered(report)
            return answer

    def _act(self, answer: HeartbeatAnswer, fleet: Fleet, told: Mapping[str, Machine]) -> None:
        """Do what the answer says. A machine that was built since may have the id of one that was `told` of:
        the answer is not about it."""
        self._interval_s = answer.interval_s
        for machine in fleet:
            for exec_id in answer.acknowledged_execs:
                machine.spools.acknowledge(exec_id)
            meant = machine.id in answer.terminate and told.get(machine.id) is machine
            if meant and machine.id not in self._leaving:
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


def _raise_if_not_understood(text: str) -> None:
    """Raise NotUnderstood if a refusal is about the version."""
    try:
        error = json.loads(text)["error"]
        mismatch = error["code"] == Code.PROTOCOL_MISMATCH
        words = " ".join(str(error[part]) for part in ("message", "hint"))
    except (ValueError, LookupError, TypeError, RecursionError):
        return
    if mismatch:
        raise NotUnderstood(words[:500])
