"""File operations: checked, logged, and passed through to the bunker's worker as streams."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Literal

import aiohttp
import structlog
from starlette.datastructures import QueryParams
from starlette.requests import Request

from scaibunker.controller.permissions import Key
from scaibunker.controller.relay.bytestream import ByteStream, chunks_of
from scaibunker.controller.relay.command import Relay, asked
from scaibunker.controller.relay.file_log import FileLog, FileOperation
from scaibunker.controller.relay.paths import check_mode, check_path
from scaibunker.controller.relay.target import Target, in_use
from scaibunker.controller.relay.upload import Upload
from scaibunker.controller.workers.client import AnswerTooLong, parsed, small_json
from scaibunker.controller.workers.errors import WorkerUnreachable
from scaibunker.wire.api.files import FileEntry, MkdirRequest, MoveRequest
from scaibunker.wire.guest.files import FilePage
from scaigrid.errors import ValidationFailed
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

User = Literal["bunker", "root"]
_PASSED = ("content-length", "content-range", "accept-ranges", "x-file-entry")


def file_claims(op: Operation, query: QueryParams, body: Mapping[str, Any]) -> None:
    """Doing it as root needs its permission."""
    if query.get("user") == "root" or body.get("user") == "root":
        op.user.require(Key.ROOT)


class Files:
    """The operations."""

    def __init__(self, relay: Relay, file_log: FileLog) -> None:
        self._relay = relay
        self._log = file_log

    async def read(
        self, op: Operation, bunker_id: str, path: str, user: User, range_header: str | None
    ) -> ByteStream:
        """A file's bytes. The log entry is written when the last of them has gone out."""
        held = contextlib.AsyncExitStack()
        try:
            operation = held.enter_context(
                self._log.logged(op, _operation(bunker_id, "read", path, user))
            )
            target = await self._target(op, operation, user)
            held.enter_context(self._relay.activity.use(bunker_id))
            response = await held.enter_async_context(
                self._request(
                    "GET",
                    target,
                    "",
                    {"path": path, "user": user},
                    headers={"Range": range_header} if range_header else None,
                )
            )
        except BaseException as error:
            await held.__aexit__(type(error), error, error.__traceback__)
            raise
        headers = {name: response.headers[name] for name in _PASSED if name in response.headers}
        idle_s = self._relay.settings.file_idle_timeout_s
        return ByteStream(
            _counted(operation, chunks_of(response, idle_s)),
            held,
            status=response.status,
            headers=headers,
            idle_timeout_s=idle_s,
        )

    async def write(
        self,
        op: Operation,
        bunker_id: str,
        path: str,
        user: User,
        mode: str | None,
        request: Request,
    ) -> FileEntry:
        """Replace a file with the request's body; atomic: all of it, or the old file stays. Without a
        `mode` it keeps the one that it has."""
        operation = _operation(bunker_id, "write", path, user)
        with contextlib.ExitStack() as held:
            held.enter_context(self._log.logged(op, operation))
            query = {"path": path, "user": user}
            if mode is not None:
                query["mode"] = check_mode(mode)
            target = await self._target(op, operation, user)
            held.enter_context(self._relay.activity.use(bunker_id))
            length = request.headers.get("content-length")
            idle_s = self._relay.settings.file_idle_timeout_s
            upload = Upload(request, operation, idle_s)
            try:
                async with (
                    upload.moving(),
                    self._request(
                        "PUT",
                        target,
                        "",
                        query,
                        data=upload.chunks(),
                        headers={"Content-Length": length} if length else None,
                        answer_within_s=None,
                    ) as response,
                ):
                    return parsed(FileEntry, await _small(response))
            except (WorkerUnreachable, TimeoutError):
                raise upload.fault or WorkerUnreachable(
                    "The bunker's worker broke the upload off; the old file, if any, is unchanged."
                ) from None

    async def delete(
        self, op: Operation, bunker_id: str, path: str, user: User, *, recursive: bool
    ) -> None:
        """Delete a file, or a directory with what is in it."""
        operation = _operation(bunker_id, "delete", path, user)
        with self._log.logged(op, operation):
            if path.strip("/") == "":
                raise ValidationFailed.of("path", "must not be the root directory")
            target = await self._target(op, operation, user)
            query = {"path": path, "user": user, "recursive": str(recursive).lower()}
            await self._small(target, "DELETE", "", query)

    async def stat(self, op: Operation, bunker_id: str, path: str, user: User) -> FileEntry:
        """One file's record, of a link itself."""
        operation = _operation(bunker_id, "stat", path, user)
        with self._log.logged(op, operation):
            target = await self._target(op, operation, user)
            answer = await self._small(target, "GET", "/stat", {"path": path, "user": user})
            return parsed(FileEntry, answer)

    async def listing(
        self,
        op: Operation,
        bunker_id: str,
        path: str,
        user: User,
        *,
        recursive: bool,
        limit: int,
        after: str | None,
    ) -> FilePage:
        """A directory's entries by path."""
        operation = _operation(bunker_id, "list", path, user)
        with self._log.logged(op, operation):
            target = await self._target(op, operation, user)
            query = {
                "path": path,
                "user": user,
                "recursive": str(recursive).lower(),
                "limit": str(limit),
            }
            if after is not None:
                query["after"] = check_path(after, "cursor")
            return parsed(FilePage, await self._small(target, "GET", "/list", query))

    async def mkdir(self, op: Operation, bunker_id: str, body: MkdirRequest) -> FileEntry:
        """Make a directory and its missing parents."""
        operation = _operation(bunker_id, "mkdir", body.path, body.user)
        with self._log.logged(op, operation):
            mode = check_mode(body.mode)
            target = await self._target(op, operation, body.user)
            data = body.model_copy(update={"mode": mode}).model_dump_json()
            return parsed(FileEntry, await self._small(target, "POST", "/mkdir", None, data))

    async def move(self, op: Operation, bunker_id: str, body: MoveRequest) -> FileEntry:
        """Rename a file."""
        operation = _operation(bunker_id, "move", body.source, body.user)
        operation.target = body.destination
        with self._log.logged(op, operation):
            check_path(body.source, "source")
            check_path(body.destination, "destination")
            target = await self._target(op, operation, body.user, field="source")
            data = body.model_dump_json()
            return parsed(FileEntry, await self._small(target, "POST", "/move", None, data))

    async def _target(
        self, op: Operation, operation: FileOperation, user: User, field: str = "path"
    ) -> Target:
        check_path(operation.path, field)
        if user == "root":
            op.user.require(Key.ROOT)
        relay = self._relay
        target = await in_use(op, relay.database, relay.activity, relay.awake, operation.bunker_id)
        operation.tenant_id = target.tenant_id
        self._relay.activity.touch(operation.bunker_id)
        return target

    async def _small(
        self,
        target: Target,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: str | None = None,
    ) -> Any:
        headers = {"Content-Type": "application/json"} if data else None
        async with self._request(
            method, target, path, query, data=data, headers=headers
        ) as response:
            return await _small(response)

    def _request(
        self,
        method: str,
        target: Target,
        path: str,
        query: Mapping[str, str] | None,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        answer_within_s: float | None = 60.0,
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A request about this bunker's files."""
        return asked(
            self._relay,
            method,
            target,
            f"/files{path}",
            query=query,
            data=data,
            headers=headers,
            answer_within_s=answer_within_s,
        )


def _operation(bunker_id: str, name: str, path: str, user: str) -> FileOperation:
    return FileOperation(bunker_id, name, path[:4096], user)


async def _counted(
    operation: FileOperation, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    operation.bytes = 0
    async for chunk in chunks:
        operation.bytes += len(chunk)
        yield chunk


async def _small(response: aiohttp.ClientResponse) -> Any:
    """A small JSON answer; None if there is none."""
    try:
        async with asyncio.timeout(60):
            return await small_json(response)
    except AnswerTooLong:
        raise WorkerUnreachable("The bunker's worker answered too much.") from None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        log.warning("worker answer is broken", error=repr(error))
        raise WorkerUnreachable from None
