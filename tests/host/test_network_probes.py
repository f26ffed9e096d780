"""The table of probes, measured from inside real microVMs by root."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.artifacts.manifest import Artifacts
from tests.host.lab import Lab
from tests.host.probes.stand import Stand
from tests.host.probes.table import PASSES, PROBES, PROFILES

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]


BREACHES = {
    *("Metadata", "Metadata over IPv6", "Metadata by UDP", "A timestamp request"),
    *("The worker: a service", "The worker over IPv6", "The worker by UDP", "The worker by an echo request"),
    *("The worker's end of the bunker's own link", "The controller", "Another worker", "Another worker over IPv6"),
    *("Another bunker by TCP", "Another bunker by UDP", "Another bunker over IPv6"),
    *("The gateway: an echo request", "A frame as it should be", "Another source MAC", "Another source address"),
    *("Another bunker's address as source", "Another source address, IPv6", "IPv4 options", "GRE", "IPv6 in IPv4"),
    *("IPv6: a hop-by-hop header", "IPv6: destination options", "IPv6: a routing header", "IPv6: a fragment header"),
    *("ARP in another's name", "ARP with another MAC", "A neighbour solicitation in another's name"),
}  # fmt: skip
"""Of the probes that must not pass, those that would without rules (the rest asks for what does not exist)."""


@pytest.fixture
async def stand(tmp_path: Path, artifacts: Artifacts, lab: Lab) -> AsyncIterator[Stand]:
    async with Stand.opened(tmp_path, artifacts, lab) as stand:
        yield stand
        print(stand.log())


@pytest.mark.parametrize("profile", PROFILES)
async def test_each_probe_fares_as_the_table_says(stand: Stand, profile: str) -> None:
    measured = await stand.measure(profile, PROBES)
    others = [
        f"{probe.name}: {probe.expected(profile)} expected, {measured[probe.name]}"
        for probe in PROBES
        if measured[probe.name].verdict is not probe.expected(profile)
    ]
    assert not others, "\n".join(others)


async def test_the_probes_would_tell_if_there_were_no_rules(stand: Stand) -> None:
    """What no profile lets pass is not just lost on the way."""
    probes = [probe for probe in PROBES if probe.name in BREACHES]
    assert len(probes) == len(BREACHES)
    measured = await stand.measure("unrestricted", probes, breached=True)
    stopped = {p.name: measured[p.name] for p in probes if measured[p.name].verdict is not PASSES}
    assert stopped == {}
