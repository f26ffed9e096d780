"""`/bunkers/{id}/audit-batches`."""

from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from scaibunker.controller.bunkers.errors import BunkerNotFound
from scaibunker.controller.bunkers.reading import Reading
from scaibunker.controller.bunkers.resources import BUNKER
from scaibunker.controller.egress.batches import Batches
from scaibunker.controller.egress.page import AuditBatchPage
from scaibunker.controller.objects.errors import ObjectNotFound, StorageUnavailable
from scaibunker.controller.objects.transfer import described
from scaibunker.controller.permissions import ADMIN_KEYS, Key
from scaibunker.controller.relay.bytestream import ByteStream
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api.flows import MAX_SINCE_US
from scaigrid.http.access import Needs
from scaigrid.http.envelope import Meta
from scaigrid.http.paging import DEFAULT_LIMIT, MAX_LIMIT
from scaigrid.http.resources import Reach, Resource
from scaigrid.http.routes import Answer, Op, Routes

BATCH = Resource("batch_name", Reach.ALL, ObjectNotFound)
"""Reached by who reaches its bunker."""
NDJSON = "application/x-ndjson"


class EgressEndpoints:
    """The record of a bunker's flows."""

    def __init__(self, reading: Reading, batches: Batches, idle_timeout_s: float) -> None:
        self._reading = reading
        self._batches = batches
        self._idle_timeout_s = idle_timeout_s

    def routes(self) -> Routes:
        """The declarations."""
        path = f"{BASE_PATH}/bunkers/{{bunker_id}}/audit-batches"
        routes = Routes(path, "egress", BUNKER, BATCH)
        owners = Needs(Key.CREATE, *ADMIN_KEYS)
        routes.add(
            "GET",
            "",
            self.list_audit_batches,
            access=owners,
            answers=Answer(200, {}, "Some of them, the oldest first.", AuditBatchPage),
            errors=[BunkerNotFound, StorageUnavailable],
        )
        lines = {NDJSON: {"schema": {"type": "string"}}}
        routes.add(
            "GET",
            "/{batch_name}",
            self.get_audit_batch,
            access=owners,
            answers=Answer(200, lines, "Its lines, each an object of JSON."),
            errors=[BunkerNotFound, ObjectNotFound, StorageUnavailable],
        )
        return routes

    async def list_audit_batches(
        self,
        op: Op,
        bunker_id: str,
        since_us: Annotated[
            int,
            Query(
                ge=0,
                le=MAX_SINCE_US,
                description="Only batches begun then or later, in microseconds since 1970.",
            ),
        ] = 0,
        limit: Annotated[
            int, Query(ge=1, le=MAX_LIMIT, description="Batches at most.")
        ] = DEFAULT_LIMIT,
        continuation_token: Annotated[
            str | None,
            Query(max_length=512, description="`next_continuation_token` of the answer before."),
        ] = None,
    ) -> Response:
        """List the batches in which a bunker's flows are recorded, the oldest first; also when it has ended. There is another
        answer to ask for as long as there is a `next_continuation_token`, even if this one is empty."""
        bunker = await self._reading.get(op, bunker_id)
        found = await self._batches.listing(bunker.id, since_us, limit, continuation_token or None)
        page = AuditBatchPage(
            data=found.batches,
            has_more=found.next_token is not None,
            next_continuation_token=found.next_token,
            meta=Meta(request_id=op.request_id),
        )
        return Response(page.model_dump_json(), media_type="application/json")

    async def get_audit_batch(self, op: Op, bunker_id: str, batch_name: str) -> Response:
        """Read a batch: a line of JSON for each flow, and for records that are missing. An answer that breaks off is
        cut before its announced length."""
        bunker = await self._reading.get(op, bunker_id)
        body = await self._batches.read(bunker.id, batch_name)
        headers = described(body.info)
        del headers["accept-ranges"]
        headers |= {"content-type": NDJSON, "content-length": str(body.size)}
        return ByteStream(
            body.chunks, AsyncExitStack(), headers=headers, idle_timeout_s=self._idle_timeout_s
        )
