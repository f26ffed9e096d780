"""Plans: done in order, undone in reverse, whatever fails."""

import pytest

from scaibunker.worker.errors import StepFailed, WorkerFault
from scaibunker.worker.machines.plan import carry_out, take_back


class Recorded:
    """A step that writes down what happens to it, and fails where it is told to."""

    def __init__(self, name: str, journal: list[str], fails: str = "") -> None:
        self.name = name
        self._journal = journal
        self._fails = fails

    async def do(self, subject: str) -> None:
        self._journal.append(f"do {self.name}")
        if self._fails == "do":
            raise WorkerFault("it is broken")
        if self._fails == "os":
            raise OSError(28, "No space left on device")

    async def undo(self, subject: str) -> None:
        self._journal.append(f"undo {self.name}")
        if self._fails == "undo":
            raise RuntimeError("cannot be undone")


async def test_steps_are_done_in_order_and_undone_in_reverse() -> None:
    journal: list[str] = []
    steps = [Recorded("a", journal), Recorded("b", journal)]
    await carry_out(steps, "it")
    assert await take_back(steps, "it") == []
    assert journal == ["do a", "do b", "undo b", "undo a"]


@pytest.mark.parametrize(
    ("fails", "message"), [("do", "b: it is broken"), ("os", "b: No space left on device")]
)
async def test_the_failing_step_is_named_and_later_ones_are_not_begun(
    fails: str, message: str
) -> None:
    journal: list[str] = []
    steps = [Recorded("a", journal), Recorded("b", journal, fails), Recorded("c", journal)]
    with pytest.raises(StepFailed, match=message):
        await carry_out(steps, "it")
    assert journal == ["do a", "do b"]


async def test_undoing_goes_on_when_a_step_cannot_be_undone() -> None:
    journal: list[str] = []
    steps = [Recorded("a", journal), Recorded("b", journal, "undo")]
    failures = await take_back(steps, "it")
    assert journal == ["undo b", "undo a"]
    assert len(failures) == 1
    assert failures[0].startswith("b:")
