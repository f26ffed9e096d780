"""`scaibunker bridge`, and bunkers that are plugged in."""

import json

import pytest
import typer

from scaibunker.cli.interfaces import interfaces
from scaibunker.sdk import Interface
from tests.unit.cli.conftest import Shell
from tests.unit.sdk.fake_api import FakeApi


def test_make_list_show_and_remove(api: FakeApi, shell: Shell) -> None:
    done = shell("bridge", "create", "lan", "--worker", "wrk_1")
    assert (done.code, done.text, done.complaint) == (0, "brg_1\n", "")
    assert shell("bridge", "create", "wan", "--worker", "wrk_1", "--json").json["name"] == "wan"
    listed = shell("bridge", "ls").text
    assert listed.splitlines()[0].split() == ["ID", "NAME", "STATUS", "WORKER", "AGE"]
    assert "brg_2" in listed
    assert [row["name"] for row in shell("bridge", "ls", "--json", "--limit", "1").json] == ["lan"]
    assert "wrk_1" in shell("bridge", "show", "lan").text
    assert shell("bridge", "show", "brg_2", "--json").json["status"] == "ready"
    assert shell("bridge", "rm", "lan", "brg_2").code == 0
    assert api.bridges.rows == []


def test_what_cannot_be(api: FakeApi, shell: Shell) -> None:
    api.bridges.in_use.add(api.bridges.add("lan"))
    assert shell("bridge", "create", "lan", "--worker", "wrk_1").code == 5
    assert shell("bridge", "create", "wan", "--worker", "nobody").code == 3
    assert shell("bridge", "create", "wan").code == 2
    assert shell("bridge", "show", "wan").code == 3
    assert shell("bridge", "rm", "lan").code == 5


def test_a_bunker_is_plugged_in(api: FakeApi, shell: Shell) -> None:
    done = shell(
        "bunker", "create", "debian-12", "--no-wait", "--network", "transit", "--bandwidth", "50",
        "--interface", "if=eth0,bridge=lan",
        "--interface", "if=eth1,bridge=wan,mac=02:00:00:00:00:01,spoof-guard=off",
    )  # fmt: skip
    assert done.code == 0, done.complaint
    sent = json.loads(api.requests("POST", "/bunkers")[-1].body)
    assert (sent["network_profile"], sent["bandwidth_mbit"]) == ("transit", 50)
    assert [each["bridge_name"] for each in sent["interfaces"]] == ["lan", "wan"]
    assert sent["interfaces"][1]["spoof_guard"] is False
    assert sent["interfaces"][1]["mac"] == "02:00:00:00:00:01"


def test_show_says_what_it_is_plugged_into(api: FakeApi, shell: Shell) -> None:
    given = {"if_name": "eth0", "bridge_name": "lan", "mac": "02:00:00:00:00:01"}
    api.add_bunker(interfaces=[{**given, "spoof_guard": False}])
    assert (
        "eth0 on lan (02:00:00:00:00:01, no spoof guard)" in shell("bunker", "show", "bnk_1").text
    )


def test_interfaces_as_people_write_them() -> None:
    assert interfaces(["bridge=lan,if=eth0", "if=eth1,bridge=b,spoof-guard=on"]) == [
        Interface(if_name="eth0", bridge_name="lan"),
        Interface(if_name="eth1", bridge_name="b"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "an interface as if=NAME"),
        ("eth0", "an interface as if=NAME"),
        ("if=eth0", "bridge is missing"),
        ("bridge=lan", "if is missing"),
        ("if=eth0,bridge=lan,if=eth1", "an interface as"),
        ("if=eth0,bridge=lan,speed=fast", "an interface as"),
        ("if=eth0,bridge=lan,spoof-guard=maybe", "on or off"),
        ("if=ETH0,bridge=lan", "if_name"),
        ("if=eth0,bridge=", "bridge_name"),
        ("if=eth0,bridge=lan,mac=nonsense", "mac"),
    ],
)
def test_bad_interfaces(text: str, complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        interfaces([text])
