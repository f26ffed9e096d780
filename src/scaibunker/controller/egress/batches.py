"""The batches of one bunker, in object storage."""

import re
from dataclasses import dataclass

from scaibunker.controller.objects.errors import ObjectNotFound, told
from scaibunker.storage.keys import BadKey, check_key
from scaibunker.storage.objects import ObjectBody, ObjectStore
from scaibunker.wire.api.flows import BATCH_NAME, AuditBatch
from scaigrid.errors import ValidationFailed
from scaigrid.http.paging import unwrap, wrap

ROOT = "scaibunker/audit"
_NAME = re.compile(BATCH_NAME, re.ASCII)


@dataclass(frozen=True, slots=True)
class BatchSlice:
    """Some batches, the oldest first, and where the rest begins."""

    batches: list[AuditBatch]
    next_token: str | None


class Batches:
    """Whose bunker it is has been asked before. Raises StorageUnavailable if the store is away."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def listing(
        self, bunker_id: str, since_us: int, limit: int, token: str | None
    ) -> BatchSlice:
        """Those that were begun at `since_us` or later, and come after the token's place. Raises ValidationFailed."""
        folder = f"{ROOT}/{bunker_id}"
        after = f"{folder}/{since_us:016d}"
        if token is not None:
            after = max(after, f"{folder}/{_place(token)}")
        with told():
            page = await self._store.page(folder, after, limit)
        names = [(each, each.key.removeprefix(f"{folder}/")) for each in page.objects]
        found = [
            AuditBatch(
                name=name,
                key=each.key,
                ts_us=int(name[:16]),
                size=each.size,
                stored_at=each.modified_at,
            )
            for each, name in names
            if _NAME.fullmatch(name)
        ]
        return BatchSlice(found, wrap(names[-1][1]) if page.has_more else None)

    async def read(self, bunker_id: str, name: str) -> ObjectBody:
        """One batch. Raises ObjectNotFound."""
        if not _NAME.fullmatch(name):
            raise ObjectNotFound
        with told():
            return await self._store.read(f"{ROOT}/{bunker_id}/{name}")


def _place(token: str) -> str:
    """The name that a token goes on after."""
    try:
        return check_key(unwrap(token))
    except (BadKey, ValidationFailed):
        raise ValidationFailed.of("continuation_token", "is not one of this listing") from None
