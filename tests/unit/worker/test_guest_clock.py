"""A guest's clock: a word that was long on its way is said again."""

from pathlib import Path

import pytest

from scaibunker.worker.guest import agent as agents
from scaibunker.worker.guest.agent import CLOCK_TRIES, GuestAgent
from scaibunker.worker.guest.link import GuestLink
from tests.unit.worker.conftest import StartAgent
from tests.unit.worker.fake_agent import TOKEN, FakeExchange


@pytest.mark.parametrize(("late_s", "tries"), [(0.0, CLOCK_TRIES), (600.0, 0)])
async def test_it_is_set_until_the_word_comes_soon(
    start_agent: StartAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    late_s: float,
    tries: int,
) -> None:
    monkeypatch.setattr(agents, "CLOCK_LATE_S", late_s)
    asked: list[str] = []

    async def note(exchange: FakeExchange) -> None:
        await exchange.body_ended.wait()
        asked.append(exchange.headers[":path"])
        await exchange.answer()

    await start_agent(note)
    link = GuestLink(tmp_path / "agent.sock", TOKEN)
    try:
        await link.connect(60)
        agent = GuestAgent(link)
        await agent.set_identity("box", {})
        assert asked == ["/v1/identity", *["/v1/clock"] * tries]
        asked.clear()
        await agent.set_clock()
        assert asked == ["/v1/clock"] * max(tries, 1)
    finally:
        link.close()
