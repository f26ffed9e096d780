"""Of which port the datagram is that has the rules learn an address."""

import pytest

from scaibunker.worker.network.openings import LIFETIMES_S, port_for


@pytest.mark.parametrize("lasts_s", [0, 0.1, 3, 4, 4.01, 7, 302, 512])
def test_it_is_learned_for_no_shorter_and_not_for_twice_as_long(lasts_s: float) -> None:
    lifetime = LIFETIMES_S[port_for(lasts_s) - 1]
    assert lasts_s <= lifetime < max(2 * lasts_s, LIFETIMES_S[0] + 1)


def test_the_longest_answer_has_a_port() -> None:
    assert LIFETIMES_S[port_for(86_402) - 1] >= 86_402


def test_nothing_is_learned_for_longer_than_there_are_ports() -> None:
    assert port_for(10**9) == len(LIFETIMES_S)
