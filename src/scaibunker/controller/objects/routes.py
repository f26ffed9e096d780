"""`/storage/{key}`: by the controller, and by storage proxies alone."""

from typing import Annotated

from fastapi import Header, Request
from starlette.responses import Response

from scaibunker.controller.objects.errors import ObjectNotFound, StorageFull, StorageUnavailable
from scaibunker.controller.objects.transfer import Objects, described
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api.storage import DeletedObject, StoredObject
from scaigrid.errors import GridError, PayloadTooLarge, RangeNotSatisfiable
from scaigrid.http.access import Delegated
from scaigrid.http.resources import Reach, Resource
from scaigrid.http.routes import Answer, Endpoint, Op, Routes, one, raw

OBJECT = Resource("key", Reach.ALL, ObjectNotFound)
"""Whose an object is, is for the capability to say: it is for a part of the store."""
Span = Annotated[str | None, Header(alias="Range", max_length=128)]
Sha256 = Annotated[
    str | None,
    Header(
        alias="X-Content-SHA256",
        description="SHA-256 of the body in hex; another body is refused.",
        max_length=128,
    ),
]
Digest = Annotated[
    str | None,
    Header(
        alias="Content-Digest",
        description="The same as RFC 9530 has it: `sha-256=:base64:`. Other ways that clients have "
        "are understood too: `Digest`, `X-Checksum-SHA256`, `X-Amz-Checksum-SHA256`, "
        "`X-Amz-Content-SHA256`, and `sha256` in the query.",
        max_length=1024,
    ),
]


class StorageEndpoints:
    """Objects by key, for workers and for bearers of capabilities."""

    def __init__(self, objects: Objects, access: Delegated) -> None:
        self._objects = objects
        self._access = access

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(f"{BASE_PATH}/storage", "storage", OBJECT)

        def add(
            method: str,
            endpoint: Endpoint,
            answers: Answer | list[Answer],
            *errors: type[GridError],
        ) -> None:
            routes.add(
                method,
                "/{key:path}",
                endpoint,
                access=self._access,
                answers=answers,
                errors=[StorageUnavailable, *errors],
            )

        whole = [raw(200, "The object."), raw(206, "The range.")]
        add("PUT", self.put_object, one(StoredObject), PayloadTooLarge, StorageFull)
        add("GET", self.get_object, whole, ObjectNotFound, RangeNotSatisfiable)
        add("HEAD", self.head_object, Answer(200, {}, "It is there."), ObjectNotFound)
        add("DELETE", self.delete_object, one(DeletedObject))
        return routes

    async def put_object(
        self,
        op: Op,
        request: Request,
        key: str,
        sha256: Sha256 = None,  # noqa: ARG002 - read from the request, all at once
        digest: Digest = None,  # noqa: ARG002
    ) -> StoredObject:
        """Store the request's body. It replaces the object of that key atomically, once all of it has
        arrived and is what its digest says."""
        return await self._objects.put(op, request, key)

    async def get_object(
        self, op: Op, request: Request, key: str, byte_range: Span = None
    ) -> Response:
        """Read an object: all of it, or a range. An answer that breaks off is cut before its announced
        length."""
        return await self._objects.get(op, request, key, byte_range)

    async def head_object(self, op: Op, request: Request, key: str) -> Response:
        """Ask for an object's size (`Content-Length`), `ETag` and, where it is kept, SHA-256
        (`X-Content-SHA256`)."""
        info = await self._objects.head(op, request, key)
        return Response(headers={**described(info), "content-length": str(info.size)})

    async def delete_object(self, op: Op, request: Request, key: str) -> DeletedObject:
        """Delete an object. To delete one that is not there is no error."""
        await self._objects.delete(op, request, key)
        return DeletedObject(key=key)
