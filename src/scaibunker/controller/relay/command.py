"""What every way of running a command has in common: its log entry, its worker, its failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp

from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.passivation.awake import Awake
from scaibunker.controller.permissions import Key
from scaibunker.controller.relay.domain import ExecEntry, ExecState, loggable
from scaibunker.controller.relay.errors import translate
from scaibunker.controller.relay.exec_log import ExecLog
from scaibunker.controller.relay.frames import StreamBroken
from scaibunker.controller.relay.target import Target, in_use
from scaibunker.controller.settings import RelaySettings
from scaibunker.controller.workers.client import WorkerClient, WorkerSilent
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.storage.objects import ObjectStore
from scaibunker.wire.api.execs import ExecRequest
from scaigrid.db import Database
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.errors import detail
from scaigrid.ids import new_id
from scaigrid.operation import Operation

GONE = "its caller went away, and it was ended"
PATIENCE_S = 150.0
"""How long a worker that is well may take to start a command at most: longer than it waits for its machine itself,
which starts them one after the other."""


@dataclass(frozen=True, slots=True)
class Relay:
    """What commands and files need."""

    database: Database
    client: WorkerClient
    log: ExecLog
    activity: Activity
    store: ObjectStore
    settings: RelaySettings
    awake: Awake


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is about to run. `recorded` is done when its log entry is durable."""

    entry: ExecEntry
    target: Target
    recorded: "asyncio.Future[None]"

    @property
    def path(self) -> str:
        """Where its worker knows it."""
        return f"/v1/machines/{self.target.bunker_id}/execs/{self.entry.id}"


async def begin(relay: Relay, op: Operation, bunker_id: str, body: ExecRequest) -> Command:
    """Find the bunker, awake, and open the log entry. Raises BunkerNotFound, BunkerNotRunning,
    PermissionDenied for root without its key, and WorkerUnreachable for a command that an attempt
    under the same idempotency key has started before it died."""
    if body.user == "root":
        op.user.require(Key.ROOT)
    target = await in_use(op, relay.database, relay.activity, relay.awake, bunker_id)
    now = op.now()
    entry = ExecEntry(
        id=new_id("exe", op.token),
        bunker_id=bunker_id,
        tenant_id=target.tenant_id,
        user_id=op.user.user_id,
        command=loggable(body.command),
        user=body.user,
        detach=body.detach,
        state=ExecState.RUNNING,
        started_at=now,
        deadline_at=now + timedelta(seconds=body.timeout_s + 2 * relay.settings.exec_grace_s),
    )
    op.note(exec_id=entry.id)
    if op.resumed and await relay.log.get(op, bunker_id, entry.id) is not None:
        why = "an earlier attempt under this idempotency key broke off"
        raise unreachable(entry.id, why, "It may have run.")
    return Command(entry, target, relay.log.begin(entry))


@contextlib.asynccontextmanager
async def relayed(
    relay: Relay, command: Command, data: Any, timeout_s: float
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The worker's answer to the command. Leaving the block early ends its process group.

    Raises WorkerUnreachable, which says whether it may have run, or the worker's refusal.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            response = await stack.enter_async_context(
                relay.client.request(
                    "POST",
                    command.target.address,
                    command.path,
                    query={"mode": "relay"},
                    data=data,
                    answer_within_s=relay.settings.exec_grace_s,
                    patience_s=min(timeout_s + relay.settings.exec_grace_s, PATIENCE_S),
                )
            )
        except (WorkerSilent, WorkerRefused) as error:
            raise not_started(relay, command, error) from None
        yield response


@contextlib.asynccontextmanager
async def asked(
    relay: Relay, method: str, target: Target, path: str, **how: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """A worker's answer about the bunker, below whose path `path` is; `how` is the client's.

    The worker's refusals become ours. Raises WorkerUnreachable.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            response = await stack.enter_async_context(
                relay.client.request(
                    method, target.address, f"/v1/machines/{target.bunker_id}{path}", **how
                )
            )
        except WorkerRefused as refusal:
            raise translate(refusal) from None
        yield response


async def recorded(relay: Relay, command: Command) -> None:
    """Wait until the entry of a command that was started is durable. Raises DatabaseUnavailable,
    which says that the command has been started."""
    try:
        await relay.log.durable(command.recorded)
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"Command {command.entry.id} was started, but the database does not answer."
        ) from error


def not_started(relay: Relay, command: Command, error: WorkerSilent | WorkerRefused) -> Exception:
    """The error for a command whose worker gave no answer, or refused it; the log knows too."""
    entry = command.entry
    if isinstance(error, WorkerRefused):
        refused = translate(error)
        relay.log.lose(entry.id, f"it was not started: {refused.message}", entry.output)
        return refused
    if not error.sent:
        relay.log.lose(
            entry.id, "it was not started: its worker could not be reached", entry.output
        )
        return unreachable(entry.id, "its worker could not be reached", "It has not run.")
    relay.log.lose(entry.id, "its worker did not answer", entry.output)
    return unreachable(entry.id, "its worker did not answer", "It may have run.")


def broken_off(exec_id: str, broken: StreamBroken) -> WorkerUnreachable:
    """The error for a command whose frames ended without its end."""
    return unreachable(
        exec_id, str(broken), "It had started." if broken.started else "It may have run."
    )


def unreachable(exec_id: str, why: str, ran: str) -> WorkerUnreachable:
    """The error for a command whose fate is not known."""
    return WorkerUnreachable(
        f"Command {exec_id}: {why}. {ran}",
        hint="Read the command's entry in the exec log: it is corrected once its worker reports.",
        details=[detail("exec_id", exec_id, exec_id=exec_id)],
    )
