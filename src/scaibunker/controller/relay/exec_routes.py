"""`/bunkers/{id}/exec` and `/bunkers/{id}/execs`."""

from typing import Annotated

from fastapi import Header, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from scaibunker.controller.bunkers.errors import BunkerNotFound, BunkerNotRunning
from scaibunker.controller.bunkers.resources import BUNKER
from scaibunker.controller.objects.errors import ObjectNotFound
from scaibunker.controller.passivation.refusals import REFUSALS
from scaibunker.controller.permissions import Key
from scaibunker.controller.relay import detached, history, plain, stream
from scaibunker.controller.relay.command import Relay
from scaibunker.controller.relay.errors import (
    ExecNotFound,
    ExecNotRunning,
)
from scaibunker.controller.relay.outputs import StreamName
from scaibunker.controller.relay.start import MAX_BODY, exec_claims
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import execs as wire
from scaigrid.errors import GridError, RangeNotSatisfiable
from scaigrid.http import envelope
from scaigrid.http.access import Needs
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.resources import Reach, Resource
from scaigrid.http.routes import Op, Routes, events, many, one, raw
from scaigrid.http.sse import EventStream, Stopping

EXEC = "/execs/{exec_id}"
COMMAND = Resource("exec_id", Reach.ALL, ExecNotFound)
"""Reached by who reaches its bunker."""


class Accepted(BaseModel):
    """The worker has taken it."""

    exec_id: str


class ExecEndpoints:
    """Commands."""

    def __init__(self, relay: Relay, stopping: Stopping) -> None:
        self._relay = relay
        self._stopping = stopping

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(f"{BASE_PATH}/bunkers/{{bunker_id}}", "execs", BUNKER, COMMAND)
        may = Needs(Key.EXECUTE)
        started: list[type[GridError]] = [BunkerNotFound, BunkerNotRunning, *REFUSALS]
        known = [BunkerNotFound, ExecNotFound]
        routes.add(
            "POST",
            "/exec",
            self.run_command,
            access=may,
            answers=[
                one(wire.ExecResult, description="How the command ended."),
                events("With `stream`: `started`, `stdout`, `stderr`, `exit`."),
                one(wire.ExecRecord, 202, "With `detach`: it runs."),
            ],
            errors=started,
            body_limit=MAX_BODY,
            claims=exec_claims,
        )
        routes.add(
            "GET",
            "/execs",
            self.list_commands,
            access=may,
            answers=many(wire.ExecRecord),
            errors=[BunkerNotFound],
        )
        routes.add(
            "GET", EXEC, self.get_command, access=may, answers=one(wire.ExecRecord), errors=known
        )
        routes.add(
            "GET",
            f"{EXEC}/events",
            self.follow_command,
            access=may,
            answers=events("`started`, `stdout`, `stderr`, `gap`, `exit`."),
            errors=[*known, *started, ExecNotRunning],
        )
        routes.add(
            "GET",
            f"{EXEC}/output",
            self.get_output,
            access=may,
            answers=[raw(200, "The bytes."), raw(206, "The range.")],
            errors=[
                *known,
                ObjectNotFound,
                RangeNotSatisfiable,
                *started,
            ],
        )
        for verb, endpoint in (("signal", self.signal_command), ("stdin", self.feed_command)):
            routes.add(
                "POST",
                f"{EXEC}/{verb}",
                endpoint,
                access=may,
                answers=one(Accepted),
                errors=[*known, *started, ExecNotRunning],
                body_limit=MAX_BODY,
            )
        return routes

    async def run_command(
        self, op: Op, request: Request, bunker_id: str, body: wire.ExecRequest
    ) -> wire.ExecResult | Response:
        """Run a command. Its output comes in the answer, as events (`stream`), or later (`detach`).

        A caller that goes away before the end ends the command, unless it is detached.
        """
        relay = self._relay
        if body.detach:
            entry = await detached.start(relay, op, bunker_id, body)
            return envelope.success(history.view(entry), op.request_id, 202)
        if body.stream:
            running = await stream.open_stream(relay, op, bunker_id, body)
            return EventStream(running.events, self._stopping, running.held)
        return await plain.while_connected(request, lambda: plain.run(relay, op, bunker_id, body))

    async def list_commands(self, op: Op, bunker_id: str, page: Paged) -> Slice[wire.ExecRecord]:
        """List a bunker's commands."""
        return await history.listing(self._relay, op, bunker_id, page)

    async def get_command(self, op: Op, bunker_id: str, exec_id: str) -> wire.ExecRecord:
        """Read one command's entry of the log."""
        return await history.get(self._relay, op, bunker_id, exec_id)

    async def follow_command(self, op: Op, bunker_id: str, exec_id: str) -> EventStream:
        """Follow a detached command from its start. Going away does not end it."""
        running = await detached.follow(self._relay, op, bunker_id, exec_id)
        return EventStream(running.events, self._stopping, running.held)

    async def get_output(
        self,
        op: Op,
        bunker_id: str,
        exec_id: str,
        stream: Annotated[StreamName, Query()] = "stdout",
        byte_range: Annotated[str | None, Header(alias="Range", max_length=128)] = None,
    ) -> Response:
        """Read one stream of a command's output as bytes: all of it, or a range."""
        return await history.output(self._relay, op, bunker_id, exec_id, stream, byte_range)

    async def signal_command(
        self, op: Op, bunker_id: str, exec_id: str, body: wire.SignalRequest
    ) -> Accepted:
        """Send a signal to a command's process group."""
        await detached.send_signal(self._relay, op, bunker_id, exec_id, body)
        return Accepted(exec_id=exec_id)

    async def feed_command(
        self, op: Op, bunker_id: str, exec_id: str, body: wire.StdinRequest
    ) -> Accepted:
        """Write to the standard input of a detached command, or close it."""
        await detached.send_stdin(self._relay, op, bunker_id, exec_id, body)
        return Accepted(exec_id=exec_id)
