"""`scaibunker bunker flows`."""

import json

from tests.unit.cli.conftest import Shell
from tests.unit.sdk.fake_api import FakeApi
from tests.unit.sdk.fake_flows import flow, loss

YEAR_US = 1_767_225_600_000_000


def test_flows_are_lines_of_a_table(api: FakeApi, shell: Shell) -> None:
    bunker = api.add_bunker(name="box")
    six = "2001:db8::5"
    api.flows.add(bunker, YEAR_US, flow(0), flow(1, destination_address=six, host="x\x1b[2J"))
    icmp = {"protocol": "icmp", "source_port": None, "destination_port": None}
    refused = flow(2, verdict="refused", reason="closed", host=None, **icmp)
    api.flows.add(bunker, YEAR_US + 1, refused, loss(12))
    done = shell("bunker", "flows", "box")
    assert done.code == 0
    title, first, second, third, last = done.text.splitlines()
    assert title.split()[:3] == ["TIME", "MS", "PROTOCOL"]
    assert "203.0.113.5:443" in first
    assert "pypi.registry.test" in first
    assert f"[{six}]:443" in second
    assert "\x1b" not in done.text
    assert third.split()[:4] == ["2026-01-01T00:00:02Z", "500", "icmp", "203.0.113.5"]
    assert third.split()[-2:] == ["refused", "closed"]
    assert "(12 not recorded)" in last


def test_json_is_an_object_a_line(api: FakeApi, shell: Shell) -> None:
    bunker = api.add_bunker()
    api.flows.add(bunker, YEAR_US, *(flow(n) for n in range(3)), loss(None))
    done = shell("bunker", "flows", bunker, "--json")
    lines = [json.loads(line) for line in done.text.splitlines()]
    assert [line.get("source_port") for line in lines] == [40_000, 40_001, 40_002, None]
    assert lines[3]["dropped"] is None


def test_since_and_limit(api: FakeApi, shell: Shell) -> None:
    bunker = api.add_bunker()
    api.flows.add(bunker, YEAR_US, *(flow(n) for n in range(9)))
    done = shell(
        "bunker", "flows", bunker, "--json", "--since", "2026-01-01T00:00:04Z", "--limit", "2"
    )
    ports = [json.loads(line)["source_port"] for line in done.text.splitlines()]
    assert ports == [40_004, 40_005]


def test_one_that_is_not_there(shell: Shell) -> None:
    assert shell("bunker", "flows", "bnk_none", "--json").code == 3
