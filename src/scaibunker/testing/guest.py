"""A simulated guest: what its agent answers, and what lives inside. See the guest protocol."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from scaibunker.testing.commands import Command, Inside
from scaibunker.testing.files import JSON, Answer, Files, Refused, answer_with
from scaibunker.wire.codes import Code
from scaibunker.wire.guest.execs import ExecStart, GuestIdentity, HoldAnswer, HoldRequest
from scaibunker.wire.guest.frames import CONTENT_TYPE
from scaibunker.worker.guest.agent import ExecList

BODY_LIMIT = 64 * 1024 * 1024
"""Bytes of a request's body; it is held in memory."""


class Exchange(Protocol):
    """A request, and the way to answer it."""

    method: str
    path: str
    headers: Mapping[str, str]
    given_up: bool
    """Whether the other side has reset it, rather than gone away."""

    def body(self) -> AsyncIterator[bytes]: ...

    def begin(self, status: int, headers: Mapping[str, str]) -> None: ...

    async def send(self, data: bytes) -> None:
        """As fast as the other side takes it."""
        ...

    def end(self) -> None: ...


class Guest:
    """The inside of one machine. `booted` and `thawed` say whether its agent can answer, `token` whom
    it answers."""

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.generation = ""
        self.booted = asyncio.Event()
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.files = Files()
        self.commands: dict[str, Command] = {}
        self._identity: GuestIdentity | None = None
        self._pids = itertools.count(100)
        self._inside = Inside(self.files, self._hostname, self._env, self.thawed)

    async def ready(self) -> None:
        """Wait until its agent answers."""
        await self.booted.wait()
        await self.thawed.wait()

    def vanish(self) -> None:
        """The machine is gone, and all that ran in it."""
        for command in self.commands.values():
            command.vanish()

    async def answer(self, exchange: Exchange) -> None:
        """One request, from its body to the end of its answer."""
        route, _, query = exchange.path.partition("?")
        try:
            if route.startswith("/v1/execs/"):
                answer = await self._exec(exchange, route.removeprefix("/v1/execs/"), query)
            else:
                answer = self._plain(exchange, route, query, await _whole(exchange))
        except Refused as refused:
            answer = refused.answer
        except ValueError as error:
            answer = Refused(422, Code.VALIDATION_ERROR, str(error)[:500]).answer
        if answer is not None:
            length = {"content-length": str(len(answer.body))} if answer.body else {}
            exchange.begin(answer.status, {**answer.headers, **length})
            if answer.body:
                await exchange.send(answer.body)
            exchange.end()

    def _plain(self, exchange: Exchange, route: str, query: str, body: bytes) -> Answer:
        match exchange.method, route:
            case "PUT", "/v1/identity":
                self._become(GuestIdentity.model_validate_json(body))
                return Answer(204)
            case "PUT", "/v1/hold":
                HoldRequest.model_validate_json(body)
                return answer_with(HoldAnswer(still=True))
            case "DELETE", "/v1/hold":
                return Answer(204)
            case "PUT", "/v1/clock":
                return Answer(200, b'{"offset_ns": 0}', {"content-type": JSON})
            case "GET", "/v1/execs":
                known = [command.described() for command in self.commands.values()]
                return answer_with(ExecList(execs=known))
            case method, _ if route.startswith("/v1/files"):
                verb = route.removeprefix("/v1/files")
                return self.files.answer(method, verb, query, exchange.headers, body)
        raise Refused(404, Code.NOT_FOUND, "no such route")

    def _become(self, identity: GuestIdentity) -> None:
        self._identity = identity
        self.generation = identity.generation or self.generation
        self.token = bytes.fromhex(identity.token_hex) or self.token
        if identity.disown_execs:
            self.commands = {}

    async def _exec(self, exchange: Exchange, rest: str, query: str) -> Answer | None:
        """An answer, or None if it was given as a stream."""
        exec_id, _, verb = rest.partition("/")
        if exchange.method == "POST" and not verb:
            await self._start(exchange, exec_id)
            return None
        command = self.commands.get(exec_id)
        if command is None:
            raise Refused(404, Code.EXEC_NOT_FOUND, f"no command {exec_id}")
        match exchange.method, verb:
            case "GET", "frames":
                await self._follow(exchange, command, int(query.partition("offset=")[2] or 0))
                return None
            case "POST", "signal":
                name = str(json.loads(await _whole(exchange))["signal"])
                if not command.running:
                    raise Refused(409, Code.EXEC_NOT_RUNNING, "the command has ended")
                command.signal(name)
            case "POST", "stdin":
                command.stdin.feed(await _whole(exchange), eof="eof=true" in query)
            case "DELETE", "":
                command.signal("SIGKILL")
                del self.commands[exec_id]
            case _:
                raise Refused(404, Code.NOT_FOUND, "no such route")
        return Answer(204)

    async def _start(self, exchange: Exchange, exec_id: str) -> None:
        line, _, stdin = (await _whole(exchange)).partition(b"\n")
        start = ExecStart.model_validate_json(line)
        if exec_id in self.commands:
            raise Refused(409, Code.NAME_CONFLICT, f"command {exec_id} exists")
        command = Command(exec_id, next(self._pids), start, stdin, self._inside)
        self.commands[exec_id] = command
        try:
            await self._follow(exchange, command, 0)
        except asyncio.CancelledError:
            if exchange.given_up:
                command.signal("SIGKILL")
            raise

    async def _follow(self, exchange: Exchange, command: Command, offset: int) -> None:
        exchange.begin(200, {"content-type": CONTENT_TYPE})
        async for data in command.follow(offset):
            await exchange.send(data)
        exchange.end()

    def _hostname(self) -> str:
        return self._identity.hostname if self._identity else "localhost"

    def _env(self) -> dict[str, str]:
        return self._identity.env if self._identity else {}


async def _whole(exchange: Exchange) -> bytes:
    body = bytearray()
    async for chunk in exchange.body():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise Refused(413, Code.PAYLOAD_TOO_LARGE, f"at most {BODY_LIMIT} bytes")
    return bytes(body)
