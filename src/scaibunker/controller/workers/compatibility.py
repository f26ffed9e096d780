"""Refusing workers whose version of the worker protocol is not understood, and saying so once.

Such a worker stays known, with the version that it speaks now, so that nobody gives it work; what it
reports is not taken, and what it runs is left alone.
"""

from typing import Annotated, Any

import structlog
from pydantic import PlainValidator, ValidationError

from scaibunker.controller.workers import repository
from scaibunker.controller.workers.errors import ProtocolMismatch
from scaibunker.wire.worker.heartbeat import Heartbeat, Introduction
from scaibunker.wire.worker.protocol import SPOKEN, Versions
from scaigrid.db import Database, Writer
from scaigrid.errors import detail
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

MOST_TOLD = 10_000
"""Workers whose refusal is remembered, so that it is logged once."""


def _read(value: Any) -> Heartbeat | Introduction:
    """A heartbeat of another version may have another form: then who it is from is all that counts."""
    try:
        return Heartbeat.model_validate(value)
    except ValidationError:
        try:
            introduction = Introduction.model_validate(value)
        except ValidationError:
            introduction = None
        if introduction is None or introduction.protocol in SPOKEN:
            raise
        return introduction


Report = Annotated[
    Heartbeat | Introduction, PlainValidator(_read, json_schema_input_type=Heartbeat)
]
"""The body of a heartbeat."""


class Compatibility:
    """Which workers this controller understands."""

    def __init__(self, database: Database, spoken: Versions = SPOKEN) -> None:
        self._database = database
        self._spoken = spoken
        self._told: dict[str, tuple[int, str]] = {}

    @property
    def current(self) -> int:
        """The version that this controller says."""
        return self._spoken.newest

    async def check(self, op: Operation, report: Introduction) -> None:
        """Raise ProtocolMismatch for a worker that is not understood."""
        if report.protocol in self._spoken:
            if self._told.pop(report.worker_id, None) is not None:
                log.info("a worker is understood again", worker_id=report.worker_id)
            return
        await self._note(op, report)
        older = self._spoken.older_side(report.protocol, "controller", "worker")
        said = (report.protocol, report.version)
        if self._told.get(report.worker_id) != said:
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told[report.worker_id] = said
            log.warning(
                "a worker is not understood",
                worker_id=report.worker_id,
                protocol=report.protocol,
                version=report.version,
                understood=str(self._spoken),
                upgrade=older,
            )
        raise ProtocolMismatch(
            f"The worker speaks version {report.protocol} of the worker protocol, this controller "
            f"{self._spoken}.",
            hint=f"Upgrade the {older}; the worker's machines run on meanwhile.",
            details=[
                detail(
                    "protocol",
                    f"{self._spoken} is understood",
                    spoken=report.protocol,
                    oldest=self._spoken.oldest,
                    newest=self._spoken.newest,
                )
            ],
        )

    async def _note(self, op: Operation, report: Introduction) -> None:
        async def work(db: Writer) -> None:
            await repository.note_protocol(op, db, report.worker_id, report.protocol)

        await self._database.transaction(work)
