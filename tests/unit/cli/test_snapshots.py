"""`scaibunker snapshot`, and the verbs that make, use and leave snapshots."""

import json
import os
import signal
from typing import Any

import httpx
import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.sdk.fake_api import FakeApi
from tests.unit.sdk.fake_transport import Seen, always, refused

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is waited for takes time."""
    for module in ("snapshots", "bunker_calls"):
        monkeypatch.setattr(f"scaibunker.sdk._sync.{module}.sleep", lambda _: None)


def body_of(api: FakeApi, ending: str) -> Any:
    return json.loads(api.requests("POST", ending)[-1].body)


def test_make_one(api: FakeApi, shell: Shell) -> None:
    api.add_bunker(name="box")
    done = shell("bunker", "snapshot", "box", "--kind", "full", "--name", "n", "--expires-in", "2h")
    assert (done.code, done.text, done.complaint) == (0, "snp_1\n", "")
    assert body_of(api, "/snapshot") == {"kind": "full", "name": "n", "expires_in_s": 7200}
    made = shell("bunker", "snapshot", "bnk_1", "--json").json
    assert body_of(api, "/snapshot") == {"kind": "disk"}
    assert (made["id"], made["status"], made["progress"]) == ("snp_2", "ready", 1.0)


def test_come_back_at_once(api: FakeApi, shell: Shell) -> None:
    api.add_bunker()
    assert shell("bunker", "snapshot", "bnk_1", "--no-wait").text == "snp_1\n"
    assert shell("bunker", "snapshot", "bnk_1", "--no-wait", "--json").json["status"] == "creating"
    assert api.requests("GET", "snp_1") == []


def test_one_that_fails(api: FakeApi, shell: Shell) -> None:
    api.add_bunker()
    api.snapshots.outcome, api.snapshots.reason = "failed", "the disk is \x1b[2J full"
    done = shell("bunker", "snapshot", "bnk_1")
    assert (done.code, done.text) == (9, "")
    assert r"snapshot snp_1 has failed: the disk is \x1b[2J full" in done.complaint
    error = shell("bunker", "snapshot", "bnk_1", "--json").error
    assert error["code"] == "SnapshotFailed"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("bnk_1",), 5),  # it is terminated
        (("bnk_9",), 3),
        (("bnk_2", "--kind", "memory"), 2),
        (("bnk_2", "--expires-in", "soon"), 2),
        (("bnk_2", "--expires-in", "0"), 2),
        (("bnk_2", "--name", ""), 2),
    ],
)
def test_what_cannot_be(api: FakeApi, shell: Shell, argv: tuple[str, ...], code: int) -> None:
    api.add_bunker("bnk_1", "terminated")
    api.add_bunker("bnk_2")
    assert shell("bunker", "snapshot", *argv).code == code
    assert api.snapshots.rows == []


def test_an_interrupted_wait_says_what_goes_on(api: FakeApi, shell: Shell) -> None:
    bunker = api.add_bunker()

    def interrupt(seen: Seen) -> httpx.Response:
        os.kill(os.getpid(), signal.SIGINT)
        return api.transport.handler(seen)

    api.transport.faults.extend([api.transport.handler, interrupt])
    done = shell("bunker", "snapshot", bunker)
    assert (done.code, done.text) == (130, "")
    assert "snapshot snp_1 goes on; to give it up: scaibunker snapshot rm snp_1" in done.complaint
    assert len(api.snapshots.rows) == 1


def test_a_person_sees_how_far_it_is(
    api: FakeApi, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    done = shell("bunker", "snapshot", api.add_bunker())
    assert done.text == "snp_1\n"
    assert "ready snp_1" in done.complaint
    assert "100%" in done.complaint


def test_ls(api: FakeApi, shell: Shell) -> None:
    api.add_bunker("bnk_1", name="box")
    api.snapshots.add("bnk_1", name="old", size_bytes=3 << 20)
    api.snapshots.add("bnk_2", "failed", kind="full")
    api.snapshots.add("bnk_1", "creating", kind="full", progress=0.45, phase="packing")
    header, *lines = shell("snapshot", "ls").text.splitlines()
    assert header.split() == [
        *("ID", "NAME", "KIND", "STATUS", "BUNKER", "IMAGE", "SIZE", "AGE", "EXPIRES"),
    ]
    assert [line.split()[0] for line in lines] == ["snp_3", "snp_2", "snp_1"]
    assert lines[0].split()[1:6] == ["-", "full", "creating", "45%", "bnk_1"]
    assert lines[2].split()[1:8] == [
        *("old", "disk", "ready", "bnk_1", "python-3.11", "3", "MiB"),
    ]
    assert len(shell("snapshot", "ls", "--json", "--limit", "1").json) == 1
    argv = "snapshot ls --json --bunker box --status ready --kind disk"
    found = shell(*argv.split()).json
    assert [row["id"] for row in found] == ["snp_1"]
    assert api.transport.seen[-1].params == {
        "bunker_id": "bnk_1",
        "status": "ready",
        "kind": "disk",
        "limit": "200",
    }


def test_show_and_rm(api: FakeApi, shell: Shell) -> None:
    for name in ("first", "same", "same"):
        api.snapshots.add(name=name, expires_at="2999-01-01T00:00:00Z")
    assert "snp_1" in shell("snapshot", "show", "first").text
    assert shell("snapshot", "show", "snp_1", "--json").json["name"] == "first"
    done = shell("snapshot", "show", "same")
    assert (done.code, "snp_3, snp_2" in done.complaint) == (5, True)
    done = shell("snapshot", "rm", "first", "nosuch", "snp_9", "snp_3")
    assert (done.code, done.text) == (3, "snp_1\nsnp_3\n")
    assert "`scaibunker snapshot ls` shows them" in done.complaint
    assert "SNAPSHOT_NOT_FOUND" in done.complaint
    assert [row["id"] for row in shell("snapshot", "rm", "same", "--json").json] == ["snp_2"]
    assert api.snapshots.rows == []


def test_a_bunker_of_a_snapshot(api: FakeApi, shell: Shell) -> None:
    api.snapshots.add(name="saved")
    argv = "bunker create --snapshot saved --snapshot-kind disk --disk 2G"
    assert shell(*argv.split()).text == "bnk_1\n"
    assert body_of(api, "/bunkers") == {
        "snapshot_id": "snp_1",
        "snapshot_kind": "disk",
        "disk_mb": 2048,
    }
    done = shell("run", "--snapshot", "snp_1", "--timeout", "30", "--", "make", "-j2", "all")
    assert (done.code, done.text) == (0, "make -j2 all\n")
    assert json.loads(api.requests("POST", "/bunkers")[1].body) == {
        "snapshot_id": "snp_1",
        "max_lifetime_s": 630,
    }
    assert body_of(api, "/exec")["command"] == ["make", "-j2", "all"]
    assert api.bunkers["bnk_2"]["status"] == "terminated"
    assert shell("bunker", "create", "--snapshot", "nosuch").code == 3


@pytest.mark.parametrize(
    "argv",
    [
        "bunker create",
        "bunker create python-3.11 --snapshot snp_1",
        "run",
        "run python-3.11",
        "run --snapshot snp_1",
    ],
)
def test_exactly_one_origin_and_something_to_run(api: FakeApi, shell: Shell, argv: str) -> None:
    done = shell(*argv.split())
    assert (done.code, done.text) == (2, "")
    assert api.transport.seen == []


@pytest.mark.parametrize("kind", ["disk", "full"])
def test_rm_with_a_last_snapshot(api: FakeApi, shell: Shell, kind: str) -> None:
    api.add_bunker("bnk_1")
    api.add_bunker("bnk_2", "terminated")
    argv = ("--kind", kind) if kind == "full" else ()
    done = shell("bunker", "rm", "--snapshot", *argv, "bnk_1", "bnk_2", "bnk_9")
    assert (done.code, done.text) == (3, "bnk_1\nbnk_2\n")
    assert api.bunkers["bnk_1"]["status"] == "terminated"
    assert [(row["kind"], row["status"]) for row in api.snapshots.rows] == [(kind, "ready")]
    asked = {"snapshot": "true", "kind": kind}
    assert [seen.params for seen in api.requests("DELETE")] == [asked] * 3


def test_rm_whose_last_snapshot_fails_ends_nothing(api: FakeApi, shell: Shell) -> None:
    api.add_bunker()
    api.snapshots.outcome, api.snapshots.reason = "failed", "no room"
    done = shell("bunker", "rm", "--snapshot", "bnk_1")
    assert (done.code, done.text) == (9, "")
    assert api.bunkers["bnk_1"]["status"] == "running"
    refusal = refused(409, "SNAPSHOT_NOT_READY", "it goes on, because its snapshot failed")
    api.transport.faults.append(always(refusal))
    assert shell("bunker", "rm", "--snapshot", "bnk_1").code == 5
    assert shell("bunker", "rm", "--kind", "full", "bnk_1").code == 2
    assert len(api.requests("DELETE")) == 2


def test_passivated_bunkers_are_shown_as_such(api: FakeApi, shell: Shell) -> None:
    api.add_bunker(status="paused", passivated=True)
    api.add_bunker("bnk_2", status="paused")
    _, *lines = shell("bunker", "ls").text.splitlines()
    assert [line.split()[2] for line in lines] == ["passivated", "paused"]
    assert [row["status"] for row in shell("bunker", "ls", "--json").json] == ["paused"] * 2
    assert "paused (passivated)" in shell("bunker", "show", "bnk_1").text
    assert "passivated)" not in shell("bunker", "show", "bnk_2").text


def test_drain_and_passivate(api: FakeApi, shell: Shell) -> None:
    assert shell("worker", "drain", "here", "--passivate").text == "wrk_1\n"
    assert shell("worker", "drain", "here", "--json").json[0]["draining"]
    drains = [seen.params for seen in api.requests("POST", "/drain")]
    assert drains == [{"passivate": "true"}, {}]
