"""`/bunkers/{id}/files`."""

from typing import Annotated

from fastapi import Header, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from scaibunker.controller.bunkers.errors import BunkerNotFound, BunkerNotRunning
from scaibunker.controller.bunkers.resources import BUNKER
from scaibunker.controller.passivation.refusals import REFUSALS
from scaibunker.controller.permissions import Key
from scaibunker.controller.relay.errors import (
    FileAlreadyExists,
    FileIsDirectory,
    FileMissing,
    FileNoSpace,
)
from scaibunker.controller.relay.files import Files, User, file_claims
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api.files import FileEntry, MkdirRequest, MoveRequest
from scaigrid.errors import GridError, RangeNotSatisfiable
from scaigrid.http.access import Needs
from scaigrid.http.paging import DEFAULT_LIMIT, MAX_LIMIT, Slice, unwrap, wrap
from scaigrid.http.routes import Answer, Endpoint, Op, Routes, many, one, raw

Path = Annotated[str, Query(description="Absolute path inside the bunker.", max_length=4096)]
AsUser = Annotated[User, Query(description="Whose rights the operation has.")]


class Deleted(BaseModel):
    """It is gone."""

    path: str
    deleted: bool = True


class FileEndpoints:
    """Files of a bunker."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(f"{BASE_PATH}/bunkers/{{bunker_id}}/files", "files", BUNKER)
        common: list[type[GridError]] = [BunkerNotFound, BunkerNotRunning, *REFUSALS]

        def add(
            method: str,
            path: str,
            endpoint: Endpoint,
            answers: Answer | list[Answer],
            *errors: type[GridError],
        ) -> None:
            routes.add(
                method,
                path,
                endpoint,
                access=Needs(Key.FILES),
                answers=answers,
                errors=[*common, *errors],
                claims=file_claims,
            )

        entry = one(FileEntry)
        whole = [raw(200, "The file."), raw(206, "The range.")]
        add("GET", "", self.read_file, whole, FileMissing, FileIsDirectory, RangeNotSatisfiable)
        add("PUT", "", self.write_file, entry, FileIsDirectory, FileNoSpace)
        add("DELETE", "", self.delete_file, one(Deleted), FileMissing, FileIsDirectory)
        add("GET", "/list", self.list_files, many(FileEntry, "A page, by path."), FileMissing)
        add("GET", "/stat", self.stat_file, entry, FileMissing)
        add("POST", "/mkdir", self.make_directory, entry, FileAlreadyExists, FileNoSpace)
        add(
            "POST",
            "/move",
            self.move_file,
            entry,
            FileMissing,
            FileAlreadyExists,
            FileIsDirectory,
            FileNoSpace,
        )
        return routes

    async def read_file(
        self,
        op: Op,
        bunker_id: str,
        path: Path,
        user: AsUser = "bunker",
        byte_range: Annotated[str | None, Header(alias="Range", max_length=128)] = None,
    ) -> Response:
        """Read a file as bytes: all of it, or a range."""
        return await self._files.read(op, bunker_id, path, user, byte_range)

    async def write_file(
        self,
        op: Op,
        request: Request,
        bunker_id: str,
        path: Path,
        user: AsUser = "bunker",
        mode: Annotated[
            str | None,
            Query(
                description="Octal. Left out, a file keeps the one that it has; a new one has 0644.",
                max_length=8,
            ),
        ] = None,
    ) -> FileEntry:
        """Write the request's body to a file. Missing parents are made; the file is replaced
        atomically."""
        return await self._files.write(op, bunker_id, path, user, mode, request)

    async def delete_file(
        self,
        op: Op,
        bunker_id: str,
        path: Path,
        user: AsUser = "bunker",
        recursive: Annotated[bool, Query(description="A directory with what is in it.")] = False,
    ) -> Deleted:
        """Delete a file."""
        await self._files.delete(op, bunker_id, path, user, recursive=recursive)
        return Deleted(path=path)

    async def list_files(
        self,
        op: Op,
        bunker_id: str,
        path: Path,
        user: AsUser = "bunker",
        recursive: Annotated[bool, Query()] = False,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
        cursor: Annotated[str | None, Query(max_length=8192)] = None,
    ) -> Slice[FileEntry]:
        """List a directory, by path."""
        after = unwrap(cursor) if cursor else None
        page = await self._files.listing(
            op, bunker_id, path, user, recursive=recursive, limit=limit, after=after
        )
        more = page.next_after if page.has_more else None
        return Slice(page.entries, wrap(more) if more else None)

    async def stat_file(
        self, op: Op, bunker_id: str, path: Path, user: AsUser = "bunker"
    ) -> FileEntry:
        """Read a file's record; of a symbolic link itself, not of its target."""
        return await self._files.stat(op, bunker_id, path, user)

    async def make_directory(self, op: Op, bunker_id: str, body: MkdirRequest) -> FileEntry:
        """Make a directory and its missing parents."""
        return await self._files.mkdir(op, bunker_id, body)

    async def move_file(self, op: Op, bunker_id: str, body: MoveRequest) -> FileEntry:
        """Rename a file or directory."""
        return await self._files.move(op, bunker_id, body)
