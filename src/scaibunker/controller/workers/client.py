"""Talking to a worker daemon: the one place in the controller that does. See the worker protocol.

One session with connections that are kept open; a time limit on every request. `sent` of the
error tells whether the worker may have seen the request.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import aiohttp
import structlog
from pydantic import BaseModel, ValidationError
from yarl import URL

from scaibunker.controller.settings import WorkerSettings
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.controller.workers.patience import in_time
from scaibunker.wire.codes import Code
from scaibunker.wire.worker import PROTOCOL_HEADER, TOKEN_HEADER
from scaibunker.wire.worker.bridges import BridgeSpec, BridgeState
from scaibunker.wire.worker.machines import (
    ExecStatus,
    MachineSpec,
    MachineStatus,
    PowerRequest,
    WorkerError,
)
from scaibunker.wire.worker.protocol import SPOKEN, Versions
from scaibunker.wire.worker.snapshots import SnapshotRequest, SnapshotStatus
from scaigrid import tls
from scaigrid.tracing import spans as tracing

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=BaseModel)

ORDER_S = 10.0
"""Seconds that a worker has to take an order; building the machine comes after that."""
HEALTH_S = 2.0
"""Seconds that a worker has to say who it is."""
MOST_TOLD = 10_000
_MAX_ANSWER = 4 * 1024 * 1024
_MAX_ERROR = 64 * 1024
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)
_READ_BUFFER = 256 * 1024
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class WorkerSilent(WorkerUnreachable):
    """The bunker's worker did not answer."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class WorkerIncompatible(WorkerSilent):
    """The bunker's worker is of a release that this controller does not understand."""

    def __init__(self) -> None:
        super().__init__(sent=False)


class WorkerClient:
    """Requests to workers, by their address."""

    def __init__(self, settings: WorkerSettings, spoken: Versions = SPOKEN) -> None:
        self._headers = {
            TOKEN_HEADER: f"Bearer {settings.tokens[0]}",
            PROTOCOL_HEADER: str(spoken.newest),
        }
        self._require_https = settings.worker_require_https
        self._tls = tls.asking(
            settings.worker_ca,
            settings.worker_client_certificate,
            settings.worker_client_key,
            ca_setting="SCAIBUNKER_WORKER_CA",
            setting="SCAIBUNKER_WORKER_CLIENT_CERTIFICATE",
        )
        self._told: dict[str, str] = {}
        self._connect_s = settings.worker_connect_timeout_s
        self._request_s = settings.worker_request_timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=self._tls),
            headers=self._headers,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            read_bufsize=_READ_BUFFER,
        )

    async def stop(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        address: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        answer_within_s: float | None = None,
        patience_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request whose answer is read by the caller, who leaves the block early to break it off.

        With `patience_s` an answer may take that long as long as the worker is well: it waits for a machine
        that has much to do. Raises WorkerSilent if no answer begins in time, WorkerRefused for a status of 400 or more.
        """
        if self._session is None:
            raise RuntimeError("the worker client is not started")
        if self._require_https and not address.startswith("https://"):
            raise WorkerSilent(sent=False)  # its next heartbeat is refused, with the reason
        attributes = {"http.request.method": method, "url.path": path.partition("?")[0]}
        with tracing.request_span(f"worker {method}", attributes) as traced:
            response: aiohttp.ClientResponse | None = None
            try:
                async with in_time(answer_within_s, patience_s, lambda: self._is_well(address)):
                    response = await self._session.request(
                        method,
                        URL(address + path, encoded=True),
                        params=query,
                        data=data,
                        headers={**(headers or {}), **traced},
                        allow_redirects=False,
                    )
                    if response.status >= 300:
                        raise self._judged(address, await _refusal(response))
                    self._told.pop(address, None)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if response is not None:
                    response.close()
                log.warning("worker does not answer", method=method, path=path, error=repr(error))
                raise WorkerSilent(sent=not isinstance(error, _NEVER_CONNECTED)) from None
            except BaseException:
                if response is not None:
                    response.close()
                raise
            try:
                yield response
            finally:
                if not response.content.at_eof():
                    response.close()  # what is left is not wanted: the worker must notice
                response.release()

    def _judged(self, address: str, refusal: WorkerRefused) -> Exception:
        """A refusal of our version as what it is: nothing was done, and another time may do. Logged
        once for each worker."""
        if refusal.code != Code.PROTOCOL_MISMATCH:
            return refusal
        reason = refusal.message[:500]
        if self._told.get(address) != reason:
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told[address] = reason
            log.warning("a worker does not understand this controller", reason=reason)
        return WorkerIncompatible()

    async def _json(
        self,
        method: str,
        address: str,
        path: str,
        *,
        data: Any = None,
        within_s: float | None = None,
    ) -> Any:
        """A small request and its JSON answer (None if there is no content)."""
        try:
            async with (
                asyncio.timeout(within_s or self._request_s),
                self.request(
                    method,
                    address,
                    path,
                    data=data,
                    headers={"Content-Type": "application/json"} if data else None,
                ) as response,
            ):
                return await small_json(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("worker answer is broken", method=method, path=path, error=repr(error))
            raise WorkerSilent(sent=True) from None

    async def worker_id(self, address: str) -> str | None:
        """Which worker it is that answers at an address; None if none does in time."""
        try:
            answer = await self._json("GET", address, "/v1/health", within_s=HEALTH_S)
        except (WorkerSilent, WorkerRefused):
            return None
        found = answer.get("worker_id") if isinstance(answer, dict) else None
        return found if isinstance(found, str) else None

    async def _is_well(self, address: str) -> bool:
        return await self.worker_id(address) is not None

    async def order(self, address: str, spec: MachineSpec) -> MachineStatus:
        """Have a machine built; ordering it again is no error."""
        path = f"/v1/machines/{spec.bunker_id}"
        within_s = min(self._request_s, ORDER_S)
        answer = await self._json(
            "PUT", address, path, data=spec.model_dump_json(exclude_none=True), within_s=within_s
        )
        return parsed(MachineStatus, answer)

    async def machine(
        self, address: str, bunker_id: str, within_s: float | None = None
    ) -> MachineStatus | None:
        """What the worker sees of a machine; None if it has none of that id."""
        return await self._if_known(MachineStatus, address, f"/v1/machines/{bunker_id}", within_s)

    async def remove(self, address: str, bunker_id: str) -> None:
        """Take a machine down; returns when nothing of it is left."""
        await self._json("DELETE", address, f"/v1/machines/{bunker_id}")

    async def power(self, address: str, bunker_id: str, request: PowerRequest) -> MachineStatus:
        """Freeze a machine or let it go on; returns when it is done."""
        path = f"/v1/machines/{bunker_id}/power"
        answer = await self._json("PUT", address, path, data=request.model_dump_json())
        return parsed(MachineStatus, answer)

    async def snapshot(
        self, address: str, bunker_id: str, request: SnapshotRequest
    ) -> SnapshotStatus:
        """Have a snapshot of a machine made; ordering it again is no error. Returns how far it is."""
        path, within_s = f"/v1/machines/{bunker_id}/snapshot", min(self._request_s, ORDER_S)
        data = request.model_dump_json(exclude_none=True)
        answer = await self._json("POST", address, path, data=data, within_s=within_s)
        return parsed(SnapshotStatus, answer)

    async def snapshot_status(self, address: str, snapshot_id: str) -> SnapshotStatus | None:
        """How far a snapshot is; None if the worker knows none of that id."""
        return await self._if_known(SnapshotStatus, address, f"/v1/snapshots/{snapshot_id}")

    async def forget_snapshot(self, address: str, snapshot_id: str) -> None:
        """Have a snapshot given up if it is not stored yet, and forgotten. Idempotent."""
        await self._json("DELETE", address, f"/v1/snapshots/{snapshot_id}")

    async def make_bridge(self, address: str, spec: BridgeSpec) -> BridgeState:
        """Have a bridge made; ordering it again is no error."""
        path, within_s = f"/v1/bridges/{spec.bridge_id}", min(self._request_s, ORDER_S)
        answer = await self._json(
            "PUT", address, path, data=spec.model_dump_json(), within_s=within_s
        )
        return parsed(BridgeState, answer)

    async def remove_bridge(self, address: str, bridge_id: str) -> None:
        """Have a bridge taken down that nothing is plugged into. Idempotent."""
        within_s = min(self._request_s, ORDER_S)
        await self._json("DELETE", address, f"/v1/bridges/{bridge_id}", within_s=within_s)

    async def exec_status(self, address: str, bunker_id: str, exec_id: str) -> ExecStatus | None:
        """What the worker knows of a spooled command; None if it knows none."""
        path = f"/v1/machines/{bunker_id}/execs/{exec_id}"
        return await self._if_known(ExecStatus, address, path)

    async def _if_known(
        self, model: type[M], address: str, path: str, within_s: float | None = None
    ) -> M | None:
        """What the worker says of something; None if it knows no such thing."""
        try:
            return parsed(model, await self._json("GET", address, path, within_s=within_s))
        except WorkerRefused as error:
            if error.status == 404:
                return None
            raise

    async def spool(self, address: str, bunker_id: str, exec_id: str, body: Any) -> ExecStatus:
        """Start a command whose output the worker keeps; returns when it has started."""
        path = f"/v1/machines/{bunker_id}/execs/{exec_id}?mode=spool"
        return parsed(ExecStatus, await self._json("POST", address, path, data=body))

    async def post(
        self, address: str, path: str, data: Any = None, within_s: float | None = None
    ) -> None:
        """A request whose answer carries nothing; `within_s` if it may take longer than others."""
        await self._json("POST", address, path, data=data, within_s=within_s)


def parsed(model: type[M], body: Any) -> M:
    """A worker's answer as what it should be. Raises WorkerSilent if it is something else."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        log.warning(
            "worker answer makes no sense", model=model.__name__, faults=error.error_count()
        )
        raise WorkerSilent(sent=True) from None


class AnswerTooLong(ValueError):
    """A worker sends more than an answer of this sort can have."""


async def small_json(response: aiohttp.ClientResponse) -> Any:
    """A small JSON answer; None if there is none. Raises AnswerTooLong, or ValueError if it is no
    JSON; the time limit is the caller's."""
    body = await _bounded(response, _MAX_ANSWER)
    return json.loads(body) if body else None


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, of at most `limit` bytes. Raises AnswerTooLong."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise AnswerTooLong("answer too long")
    return bytes(body)


async def _refusal(response: aiohttp.ClientResponse) -> WorkerRefused:
    """The error that an answer carries."""
    try:
        error = WorkerError.model_validate_json(await _bounded(response, _MAX_ERROR))
    except ValueError:
        error = WorkerError(code="", message="no reason given")
    size = _UNSATISFIED.fullmatch(response.headers.get("content-range", ""))
    return WorkerRefused(
        response.status,
        error.code,
        error.message,
        field=error.field,
        size=int(size[1]) if size else None,
    )
