"""What a worker's gateway has done, for the controller's metrics: sums over all machines."""

import re
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from scaibunker.wire.bounds import Count

MAX_LABELS = 64
LABEL = re.compile(r"[a-z][a-z0-9_]{0,39}")
Label = Annotated[str, StringConstraints(pattern=rf"^{LABEL.pattern}$")]
"""A reason or an outcome: a word of the worker's own."""
Labelled = Annotated[dict[Label, Count], Field(max_length=MAX_LABELS)]


class GatewayReport(BaseModel):
    """What was done since the heartbeat that was answered last; the last two are as things stand. `records_written`: of
    flows; `records_dropped` and `record_gaps` (lines that say that some are missing) by reason. `questions` and
    `connections` by outcome. `lost`: gateways that ended while they were needed. `batches_waiting`: for storage.
    `connections_open`: through the proxy."""

    records_written: Count = 0
    records_dropped: Labelled = Field(default_factory=dict)
    record_gaps: Labelled = Field(default_factory=dict)
    questions: Labelled = Field(default_factory=dict)
    connections: Labelled = Field(default_factory=dict)
    lost: Count = 0
    batches_waiting: Count = 0
    connections_open: Count = 0
