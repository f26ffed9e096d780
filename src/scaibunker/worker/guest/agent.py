"""The guest agent's routes as calls. Raises GuestUnreachable, or WorkerFault with the agent's own code."""

import asyncio
import base64
import json
import secrets
import time
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from scaibunker.wire.codes import Code
from scaibunker.wire.guest.execs import ExecStart, GuestExec, GuestIdentity, HoldAnswer, HoldRequest
from scaibunker.wire.guest.network import GuestNetwork
from scaibunker.worker.errors import GuestUnreachable, WorkerFault
from scaibunker.worker.guest.port import Body, Link
from scaibunker.worker.guest.stream import GuestStream, Headers
from scaibunker.worker.guest.text import clean

ModelT = TypeVar("ModelT", bound=BaseModel)

CALL_TIMEOUT_S = 15.0
"""Seconds for a call that does a bounded thing; streams have their own limits."""
ANSWER_LIMIT = 1024 * 1024
ENTROPY_BYTES = 64
CLOCK_LATE_S = 0.2
"""A word about the time that is under way for longer is said again: the clock is late by as much at the most."""
CLOCK_TRIES = 4


class AgentRefusal(WorkerFault):
    """The agent answered with an error. `status` is its HTTP status, `field` what it finds at fault."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        known = Code(code) if code in Code.__members__ else Code.INTERNAL_ERROR
        super().__init__(message, known)
        self.status = status
        self.field = field


class ExecList(BaseModel):
    """Answer of `GET /v1/execs`."""

    execs: list[GuestExec]


class GuestAgent:
    """The agent of one machine."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def set_identity(
        self,
        hostname: str,
        env: dict[str, str],
        *,
        generation: str = "",
        token_hex: str = "",
        disown_execs: bool = False,
        disk_mb: int = 0,
        network: GuestNetwork | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Make this machine this bunker: name, clock, entropy, environment, in one round trip; see
        `GuestIdentity`. With a new token the channel is opened by that from now on."""
        identity = GuestIdentity(
            hostname=hostname,
            time_unix_ns=time.time_ns(),
            entropy_base64=base64.b64encode(secrets.token_bytes(ENTROPY_BYTES)).decode(),
            env=env,
            generation=generation,
            token_hex=token_hex,
            disown_execs=disown_execs,
            disk_mb=disk_mb,
            network=network,
        )
        body = identity.model_dump_json(exclude_defaults=True).encode()
        said = time.monotonic()
        await self._call("PUT", "/v1/identity", body, timeout_s)
        late = time.monotonic() - said >= CLOCK_LATE_S
        if token_hex:
            self.link.replace_token(bytes.fromhex(token_hex))
        if late:
            await self.set_clock()

    async def hold(self, *, freeze_disk: bool, limit_s: float, timeout_s: float) -> bool:
        """Stop the guest's programs, and its disk if that is asked for; whether all programs stand."""
        request = HoldRequest(freeze_disk=freeze_disk, limit_s=limit_s)
        body = request.model_dump_json().encode()
        return _parse(HoldAnswer, await self._call("PUT", "/v1/hold", body, timeout_s)).still

    async def release(self) -> None:
        """End a hold. Idempotent."""
        await self._call("DELETE", "/v1/hold")

    async def set_clock(self) -> None:
        """Make its clock the host's, as well as a busy host lets us."""
        for _ in range(CLOCK_TRIES):
            said = time.monotonic()
            body = json.dumps({"time_unix_ns": time.time_ns()}).encode()
            await self._call("PUT", "/v1/clock", body)
            if time.monotonic() - said < CLOCK_LATE_S:
                return

    async def execs(self) -> list[GuestExec]:
        return _parse(ExecList, await self._call("GET", "/v1/execs")).execs

    async def start_exec(self, exec_id: str, start: ExecStart, stdin: bytes = b"") -> GuestStream:
        """Start a command; the stream carries frames once its status is 200."""
        body = start.model_dump_json().encode() + b"\n" + stdin
        return await self.stream("POST", f"/v1/execs/{exec_id}", body=body)

    async def exec_frames(self, exec_id: str, offset: int | None) -> GuestStream:
        query = "" if offset is None else f"?offset={offset}"
        return await self.stream("GET", f"/v1/execs/{exec_id}/frames{query}")

    async def stream(
        self, method: str, path: str, headers: Headers | None = None, body: Body = None
    ) -> GuestStream:
        """A request whose answer is streamed; the caller looks at its status."""
        connection = await self.link.session()
        stream = await connection.request(method, path, headers, body)
        try:
            await stream.response()
        except BaseException:
            stream.reset()
            raise
        return stream

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                stream = await self.stream(method, path, body=body)
                try:
                    answer = await stream.read(ANSWER_LIMIT)
                finally:
                    stream.reset()
        except TimeoutError:
            raise GuestUnreachable(
                f"the guest agent did not answer within {timeout_s:g} s"
            ) from None
        if stream.status >= 400:
            raise refusal(stream.status, answer)
        return answer


def refusal(status: int, answer: bytes) -> AgentRefusal:
    """The agent's error answer as an exception; nonsense from the guest becomes a plain one."""
    try:
        value = json.loads(answer)
        field = value.get("field")
        return AgentRefusal(
            status, str(value["code"]), clean(value["message"]), clean(field) if field else None
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return AgentRefusal(status, Code.INTERNAL_ERROR, f"the guest agent answered {status}")


def _parse(model: type[ModelT], answer: bytes) -> ModelT:
    try:
        return model.model_validate_json(answer)
    except ValidationError as error:
        raise GuestUnreachable("the guest agent's answer makes no sense") from error
