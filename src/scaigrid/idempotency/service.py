"""Doing a request once however often it is sent.

The first request under a key takes an entry and works under its token; whoever comes with the
same key waits for its answer. A process that dies leaves an entry whose lease runs out: the next
attempt takes it over with the *same* token, so that it finds what the dead one had already made
(see `Operation.token`) instead of making it again.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from weakref import WeakValueDictionary

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import Response

from scaigrid.db import Database, Writer
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.errors import GridError, IdempotencyConflict, ValidationFailed
from scaigrid.http.body import BodyAborted
from scaigrid.http.envelope import JSON
from scaigrid.http.errors import failure, from_validation
from scaigrid.idempotency import repository
from scaigrid.idempotency.domain import (
    LEASE,
    Entry,
    entry_id,
    fingerprint,
    is_kept,
    is_key,
)
from scaigrid.operation import Operation
from scaigrid.tasks.domain import Every, Span, Task

REPLAYED = "Idempotency-Replayed"
WAIT_S = 600.0
"""How long a repetition waits for an answer that is being made: creates that are waited for, and commands, take
their time. It does not wait for one whose process has died (`LEASE`)."""
POLL_S = 0.25
SWEEP_S = 600

Run = Callable[[str, bool], Awaitable[Response]]
"""Does the request: with this token, and whether an earlier attempt died with it."""


class Held(Enum):
    """What there is to do about an entry."""

    NEW = "new"  # the request is ours to do
    RESUMED = "resumed"  # likewise, and an earlier attempt died
    DONE = "done"  # its answer is there, or was not kept


@dataclass(frozen=True, slots=True)
class Claim:
    """An entry as it was found."""

    entry: Entry
    held: Held


class Idempotency:
    """Keeps answers for 24 hours."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    async def answer(
        self, op: Operation, request: Request, key: str, body: bytes, run: Run, *, keep: bool
    ) -> Response:
        """The first answer under this key, made now or given again.

        Raises ValidationFailed for a key that is none, IdempotencyConflict if the key belongs to
        another request, to one that is still under way, or to one whose answer was not kept.
        """
        if not is_key(key):
            raise ValidationFailed.of(
                "Idempotency-Key", "must be 1 to 255 visible ASCII characters"
            )
        which = entry_id(op.user.user_id, key)
        target = request.url.path + "?" + request.url.query
        claim = await self._claim(op, which, fingerprint(request.method, target, body))
        if claim.held is Held.DONE:
            return _again(claim.entry)
        self._changed[which] = changed = asyncio.Event()
        held = _Lease(self._database, op, claim.entry)
        try:
            async with held:
                response, known = await _run(run, claim, op.request_id)
            if known:
                await self._settle(op, held.entry, response, keep=keep)
            else:
                await held.lapse()
        except BaseException:
            # Nobody knows how far it came: the next attempt under this key goes on from there.
            await held.lapse()
            raise
        finally:
            changed.set()
        return response

    async def _claim(self, op: Operation, which: str, print_: str) -> Claim:
        """The entry and what to do about it; waits for one that another works on."""
        deadline = op.clock.monotonic() + WAIT_S
        while True:
            changed = self._changed.get(which) or asyncio.Event()
            try:
                claim = await self._database.transaction(partial(_claim, op, which, print_))
            except IntegrityError:
                continue  # another attempt has just made the entry
            if claim is not None:
                return claim
            if op.clock.monotonic() > deadline:
                raise IdempotencyConflict(
                    "The first request under this key is still being worked on.",
                    hint="Ask again with the same key.",
                    retry_after=1,
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await changed.wait()

    async def _settle(self, op: Operation, entry: Entry, response: Response, *, keep: bool) -> None:
        whole = type(response) is Response  # a stream has no body that could be kept

        async def work(db: Writer) -> None:
            if not is_kept(response.status_code):
                await repository.forget(op, db, entry)
            elif keep and whole:
                media_type, content = response.media_type, bytes(response.body)
                await repository.finish(op, db, entry, response.status_code, media_type, content)
            else:
                await repository.finish(op, db, entry, 0, None, b"")

        await self._database.transaction(work)

    def task(self) -> Task:
        """Deleting expired entries."""
        return Task("grid.idempotency", Every(SWEEP_S), self._sweep)

    async def _sweep(self, op: Operation, span: Span) -> None:  # noqa: ARG002
        while True:
            async with self._database.write() as db:
                if not await repository.sweep(op, db):
                    return


class _Lease:
    """Keeps an entry ours for as long as the block runs."""

    def __init__(self, database: Database, op: Operation, entry: Entry) -> None:
        self.entry = entry
        self._database = database
        self._op = op
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._renew())

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            with contextlib.suppress(DatabaseUnavailable):  # the next time, if there is one
                async with self._database.write() as db:
                    longer = await repository.extend(self._op, db, self.entry)
                self.entry = longer or self.entry

    async def lapse(self) -> None:
        """Give it up, without an answer. If that cannot be said, its time runs out by itself."""
        with contextlib.suppress(DatabaseUnavailable):
            async with self._database.write() as db:
                await repository.lapse(self._op, db, self.entry)


async def _claim(op: Operation, which: str, print_: str, db: Writer) -> Claim | None:
    """The entry and what to do about it; None while another attempt works on it."""
    entry = await repository.find(op, db, which)
    if entry is None:
        return Claim(await repository.begin(op, db, which, print_), Held.NEW)
    if entry.fingerprint != print_:
        raise IdempotencyConflict
    if entry.status is not None:
        return Claim(entry, Held.DONE)
    if entry.lease_until > op.now():
        return None
    longer = await repository.extend(op, db, entry)
    return Claim(longer, Held.RESUMED) if longer else None


async def _run(run: Run, claim: Claim, request_id: str) -> tuple[Response, bool]:
    """The answer, and whether it is known what was done: not if the database went away."""
    try:
        return await run(claim.entry.token, claim.held is Held.RESUMED), True
    except BodyAborted:
        raise
    except GridError as error:
        return failure(error, request_id), not isinstance(error, DatabaseUnavailable)
    except RequestValidationError as error:
        return failure(from_validation(error.errors()), request_id), True


def _again(entry: Entry) -> Response:
    if not entry.status:
        raise IdempotencyConflict(
            "The first request under this key is done, and its answer was not kept.",
            hint="Look at what it made, or send a new request with a new key.",
        )
    headers = {REPLAYED: "true"}
    if entry.media_type == JSON:
        # As the envelope says: this is that request's answer. The log has this one under an id of its own.
        headers["X-Request-Id"] = json.loads(entry.body or b"")["meta"]["request_id"]
    return Response(entry.body, entry.status, headers, media_type=entry.media_type)
