"""Doing a list of steps, and undoing it. The same plan creates, resumes after a crash, and takes down.

A step is idempotent both ways: `do` finds what is there already, `undo` does nothing where nothing
is. That is what lets a new daemon run the whole plan again over what the old one left.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import structlog

from scaibunker.worker import tracing
from scaibunker.worker.errors import StepFailed, WorkerFault

log = structlog.get_logger(__name__)

Subject = TypeVar("Subject", contravariant=True)


class Step(Protocol[Subject]):
    """One thing that is done to a machine's host side."""

    @property
    def name(self) -> str: ...

    async def do(self, subject: Subject) -> None: ...

    async def undo(self, subject: Subject) -> None: ...


async def carry_out(steps: Sequence[Step[Subject]], subject: Subject) -> None:
    """Do all steps in order. Raises StepFailed naming the one that failed; undoing is the caller's
    decision."""
    for step in steps:
        try:
            with tracing.span(f"machine {step.name}"):
                await step.do(subject)
        except WorkerFault as fault:
            raise StepFailed(f"{step.name}: {fault.message}", fault.code) from fault
        except OSError as error:
            raise StepFailed(f"{step.name}: {error.strerror or error}") from error


async def take_back(steps: Sequence[Step[Subject]], subject: Subject) -> list[str]:
    """Undo all steps in reverse, whatever fails; returns what failed, for a later try."""
    failures: list[str] = []
    for step in reversed(steps):
        try:
            await step.undo(subject)
        except Exception as error:
            log.warning("undo_failed", step=step.name, error=repr(error))
            failures.append(f"{step.name}: {error!r}")
    return failures
