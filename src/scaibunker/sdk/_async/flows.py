"""The record of bunkers' flows: whom they have spoken to, and whom they were not let speak to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from scaibunker.sdk import _answers, _calls, _flow_lines
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import bunker_path
from scaibunker.sdk._flow_lines import FlowLines
from scaibunker.sdk.errors import ResponseInvalid
from scaibunker.wire.api.flows import AuditBatch, FlowRecord, LossRecord

_PATH = "audit-batches"


class AsyncFlows:
    """Of every bunker that the key can reach; also when it has ended."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self, bunker_id: str, *, since: datetime | None = None
    ) -> AsyncIterator[FlowRecord | LossRecord]:
        """Every record, in the order in which they were written: about that of the flows' ends. With `since` those of flows
        that ended then or later. Batches are fetched as they are needed.

        A flow is recorded when it has ended, and read here some ten seconds later.
        """
        since_us = _flow_lines.first_batch_us(since)
        async for batch in self.batches(bunker_id, since_us=since_us):
            lines = FlowLines()
            async with self.batch(bunker_id, batch.name) as chunks:
                async for chunk in chunks:
                    for record in lines.feed(chunk):
                        if since is None or _flow_lines.ended_at(record) >= since.astimezone():
                            yield record
            lines.end()

    async def batches(
        self, bunker_id: str, *, since_us: int | None = None, page_size: int | None = None
    ) -> AsyncIterator[AuditBatch]:
        """Every batch that was begun at `since_us` (microseconds since 1970) or later, the oldest first."""
        call = _calls.get(bunker_path(bunker_id, _PATH), since_us=since_us, limit=page_size)
        seen = set()
        while True:
            page = await self._transport.answer(call)
            rows = page["data"]
            if not isinstance(rows, list):
                raise ResponseInvalid("the answer to a listing has no list")
            for row in rows:
                yield _answers.record(AuditBatch, row)
            token = page.get("next_continuation_token")
            if token is None:
                return
            if not isinstance(token, str) or token in seen:
                raise ResponseInvalid("the server repeats itself: its token leads nowhere new")
            seen.add(token)
            call = replace(call, params={**call.params, "continuation_token": token})

    @asynccontextmanager
    async def batch(self, bunker_id: str, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A batch as it is stored, in chunks: objects of JSON, one a line; whole or an exception."""
        path = bunker_path(bunker_id, _PATH, _calls.checked_batch(name))
        async with self._transport.raw(_calls.get(path)) as chunks:
            yield chunks
