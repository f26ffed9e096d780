"""Since when a replica knows a row as it is."""

import pytest

from scaibunker.controller.bunkers import revisions
from scaibunker.controller.bunkers.revisions import Revisions
from tests.unit.controller.builders import a_bunker
from tests.unit.controller.hands import Hands


def test_a_revision_is_known_since_it_was_first_read() -> None:
    clock = Hands()
    known = Revisions(clock)
    assert known.read(a_bunker(revision=0)) == 100
    clock.seconds = 107
    assert known.read(a_bunker(revision=0)) == 100
    assert known.read(a_bunker(revision=1)) == 107
    assert known.read(a_bunker(id="bnk_2")) == 107
    known.forget("bnk_1")
    clock.seconds = 109
    assert known.read(a_bunker(revision=1)) == 109


def test_what_was_read_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "MAX_KNOWN", 2)
    clock = Hands()
    known = Revisions(clock)
    for each in ("bnk_1", "bnk_2", "bnk_1", "bnk_3"):
        known.read(a_bunker(id=each))
    clock.seconds = 107
    assert known.read(a_bunker(id="bnk_1")) == 100
    assert known.read(a_bunker(id="bnk_2")) == 107
