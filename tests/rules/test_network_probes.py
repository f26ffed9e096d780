"""The page of what bunkers reach is the table that is measured."""

import subprocess
import sys
from pathlib import Path

from tests.host.probes.table import PROBES, PROFILES, Verdict

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    script = ROOT / "scripts" / "generate_network_probes.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False, cwd=ROOT)
    assert done.returncode == 0, "run `make docs`"


def test_each_profile_is_probed_in_many_ways() -> None:
    assert len(PROBES) >= 40
    assert len({probe.name for probe in PROBES}) == len(PROBES)
    for profile in PROFILES:
        assert {probe.expected(profile) for probe in PROBES} <= set(Verdict)


def test_the_profiles_differ() -> None:
    columns = {tuple(probe.expected(profile) for probe in PROBES) for profile in PROFILES}
    assert (
        len(columns) == len(PROFILES) - 1
    )  # what `registry` and `allowlisted` permit differs by names
