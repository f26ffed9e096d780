"""How a listing of batches is answered: it goes on by tokens, as object storage does."""

from typing import Literal

from pydantic import BaseModel

from scaibunker.wire.api.flows import AuditBatch
from scaigrid.http.envelope import Meta


class AuditBatchPage(BaseModel):
    """Some batches; `next_continuation_token` is where the rest begins, null if there is none."""

    status: Literal["ok"] = "ok"
    data: list[AuditBatch]
    has_more: bool
    next_continuation_token: str | None
    meta: Meta
