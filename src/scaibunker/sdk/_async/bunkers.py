"""Making and finding bunkers."""

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Unpack

from scaibunker.sdk import _requests
from scaibunker.sdk._async.bunker import AsyncBunker
from scaibunker.sdk._async.bunker_calls import DEFAULT_WAIT_S, AsyncBunkerCalls
from scaibunker.sdk._calls import Call, get, module_path, new_key
from scaibunker.sdk.errors import BunkerFailed, ScaiBunkerError
from scaibunker.sdk.options import BunkerOptions
from scaibunker.sdk.records import BunkerRecord
from scaibunker.wire.api.bunkers import BunkerStatus, LifecycleMode

_LOG = logging.getLogger("scaibunker.sdk")


class AsyncBunkers(AsyncBunkerCalls):
    """The bunkers that the key can reach."""

    async def create(
        self,
        *,
        wait: bool = False,
        wait_timeout: float = DEFAULT_WAIT_S,
        idempotency_key: str | None = None,
        **options: Unpack[BunkerOptions],
    ) -> AsyncBunker:
        """Ask for a bunker; with `wait`, come back when it runs.

        Never makes two: the request carries an Idempotency-Key, and is sent again by itself if its
        answer was lost. Never leaves one behind that the caller does not know: a create that is
        interrupted, or that was to wait and did not see the bunker run (`BunkerFailed`,
        `WaitTimedOut` after `wait_timeout` seconds), terminates it.
        """
        call = Call(
            "POST",
            module_path("bunkers"),
            body=_requests.bunker_create(options),
            repeatable=True,
            idempotency_key=idempotency_key or new_key(),
        )
        bunker = AsyncBunker(self._transport, await self._created(call))
        if wait:
            try:
                await bunker.wait_until(BunkerStatus.RUNNING, timeout=wait_timeout)
            except BunkerFailed:
                raise  # it is over already, and its record says why
            except BaseException:
                await self._abandon(bunker.id)
                raise
        return bunker

    async def get(self, bunker_id: str) -> AsyncBunker:
        """A bunker by its id."""
        return AsyncBunker(self._transport, await self.record(bunker_id))

    async def list(
        self,
        *,
        status: BunkerStatus | str | None = None,
        lifecycle: LifecycleMode | str | None = None,
        label: str | Sequence[str] | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[AsyncBunker]:
        """Every bunker that fits, newest first; pages are fetched as they are needed.

        `label` is `KEY` or `KEY=VALUE`; of several all must fit.
        """
        call = get(
            module_path("bunkers"),
            status=status,
            lifecycle=lifecycle,
            label=label,
            limit=page_size,
        )
        async for record in self._transport.pages(call, BunkerRecord):
            yield AsyncBunker(self._transport, record)

    async def _created(self, call: Call) -> BunkerRecord:
        try:
            return await self._transport.record(call, BunkerRecord)
        except Exception:
            raise
        except BaseException:  # interrupted or cancelled: the server may have made it
            try:
                record = await self._transport.record(call, BunkerRecord)
            except ScaiBunkerError as error:
                _LOG.warning("a bunker may have been created: %s", error)
            else:  # the same key gives the first answer again
                await self._abandon(record.id)
            raise

    async def _abandon(self, bunker_id: str) -> None:
        try:
            await self.delete(bunker_id)
        except ScaiBunkerError as error:
            _LOG.warning("bunker %s may still exist: %s", bunker_id, error)
