"""The other verbs: JSON that is stable, tables that are safe, errors that say what to do."""

import json
import logging
from pathlib import Path

import httpx
import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.sdk.fake_api import FakeApi
from tests.unit.sdk.fake_transport import Seen, always, refused


def test_bunker_create(api: FakeApi, shell: Shell) -> None:
    argv = "bunker create python-3.11 --lifecycle session --max-lifetime 60 --idle-timeout 30"
    assert shell(*argv.split()).text == "bnk_1\n"
    assert shell("bunker", "create", "python-3.11", "--no-wait", "--json").json["status"] == (
        "pending"
    )
    assert shell("bunker", "create", "nosuch").code == 3


def test_bunker_create_that_fails(api: FakeApi, shell: Shell) -> None:
    api.final_status = "failed"
    done = shell("bunker", "create", "python-3.11")
    assert done.code == 9
    assert "bnk_1 is failed: the image is broken" in done.complaint


def test_bunker_ls(api: FakeApi, shell: Shell) -> None:
    for number in range(5):
        api.add_bunker(
            f"bnk_{number}", "running" if number % 2 else "terminated", name=f"n{number}"
        )
    assert [row["id"] for row in shell("bunker", "ls", "--json").json] == ["bnk_1", "bnk_3"]
    assert len(shell("bunker", "ls", "--json", "--all").json) == 5
    assert len(shell("bunker", "ls", "--json", "--all", "--limit", "2").json) == 2
    found = shell("bunker", "ls", "--json", "--status", "terminated", "-l", "a=b").json
    assert len(found) == 3
    assert api.transport.seen[-1].params["label"] == "a=b"
    header, *lines = shell("bunker", "ls").text.splitlines()
    assert header.split() == ["ID", "NAME", "STATUS", "IMAGE", "CPU", "MEMORY", "NETWORK", "AGE"]
    assert lines[0].split()[:4] == ["bnk_1", "n1", "running", "python-3.11"]
    assert shell("bunker", "ls", "--json", "--status", "paused").json == []


def test_bunker_show(api: FakeApi, shell: Shell) -> None:
    api.add_bunker(env_vars={"TOKEN": "hush"}, label_set={"a": "b"})
    shown = shell("bunker", "show", "bnk_1").text
    assert "TOKEN" in shown
    assert "hush" not in shown
    assert "a=b" in shown
    assert shell("bunker", "show", "bnk_1", "--json").json["env_vars"] == {"TOKEN": "hush"}


def test_bunker_pause_resume_rm(api: FakeApi, shell: Shell) -> None:
    api.add_bunker("bnk_1")
    api.add_bunker("bnk_2")
    assert shell("bunker", "pause", "bnk_1").text == "bnk_1\n"
    done = shell("bunker", "pause", "bnk_1", "bnk_2", "bnk_9")
    assert (done.code, done.text) == (5, "bnk_2\n")  # the first error's code, and all the work
    assert "BUNKER_INVALID_TRANSITION" in done.complaint
    assert "BUNKER_NOT_FOUND" in done.complaint
    assert [row["status"] for row in shell("bunker", "resume", "bnk_1", "--json").json] == [
        "running"
    ]
    assert shell("bunker", "rm", "bnk_1", "bnk_2").text == "bnk_1\nbnk_2\n"
    assert {row["status"] for row in api.bunkers.values()} == {"terminated"}


def test_image_and_worker_ls(api: FakeApi, shell: Shell) -> None:
    assert [row["name"] for row in shell("image", "ls", "--json").json] == [
        "debian-12",
        "python-3.11",
        "empty",
    ]
    assert "300 MiB" in shell("image", "ls").text
    assert shell("worker", "ls", "--json").json[0]["total"]["memory_mb"] == 4096
    assert "1/2" in shell("worker", "ls").text


def test_audit(api: FakeApi, shell: Shell) -> None:
    rows = shell("audit", "ls", "--json", "--since", "2026-01-01T00:00:00Z", "--status", "201").json
    assert [row["id"] for row in rows] == ["aud_3", "aud_2", "aud_1"]
    asked = api.transport.seen[-1].params
    assert (asked["since"], asked["status"]) == ("2026-01-01T00:00:00+00:00", "201")
    assert "outcome" not in asked
    header, first, *_ = shell("audit", "ls", "--limit", "1").text.splitlines()
    assert header.split()[:3] == ["TIME", "ACTOR", "ACTION"]
    assert first.split()[:4] == ["2026-01-01T00:00:00Z", "ann", "create_bunker", "bnk_3"]
    lines = shell("audit", "export", "--outcome", "success").text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["aud_3", "aud_2", "aud_1"]
    assert api.transport.seen[-1].params == {"format": "ndjson", "outcome": "success"}
    for wrong in (["ls", "--since", "soon"], ["export", "--format", "xml"]):
        assert shell("audit", *wrong).code == 2


def test_tables_cannot_be_forged(api: FakeApi, shell: Shell) -> None:
    evil = "a\x1b[2J\x1b]0;title\x07\nbnk_9 \u202ereversed\x9b1m [bold]x[/bold]"
    api.add_bunker(status_reason=evil, image=evil)
    for done in (shell("bunker", "ls"), shell("bunker", "show", "bnk_1")):
        assert b"\x1b" not in done.out
        assert b"\x07" not in done.out
        assert "\x9b" not in done.text
        assert "\u202e" not in done.text
        assert r"\x1b[2J" in done.text
        assert "[bold]x[/bold]" in done.text
        assert not any(line.startswith("bnk_9") for line in done.text.splitlines())
    api.transport.faults.append(always(refused(409, "NAME_CONFLICT", evil, hint=evil)))
    done = shell("bunker", "show", "bnk_1")
    assert b"\x1b" not in done.err
    assert b"\x07" not in done.err


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (401, "AUTH_TOKEN_INVALID", 4),
        (403, "AUTHZ_PERMISSION_DENIED", 4),
        (404, "BUNKER_NOT_FOUND", 3),
        (409, "BUNKER_NOT_RUNNING", 5),
        (413, "PAYLOAD_TOO_LARGE", 8),
        (422, "VALIDATION_ERROR", 2),
        (429, "BUNKER_QUOTA_EXCEEDED", 8),
        (500, "INTERNAL_ERROR", 6),
        (507, "FILE_NO_SPACE", 8),
        (418, "TEAPOT", 1),
    ],
)
def test_errors(api: FakeApi, shell: Shell, status: int, code: str, exit_code: int) -> None:
    detail = {"field": "memory_mb", "message": "too much", "cap": 512}
    answer = always(refused(status, code, "what happened", hint="what to do", details=[detail]))
    api.add_bunker()
    api.transport.faults.append(answer)
    done = shell("bunker", "pause", "bnk_1")
    assert done.code == exit_code
    assert done.out == b""
    assert done.complaint.splitlines() == [
        f"error: what happened [{code}]",
        "  memory_mb: too much: cap 512",
        "hint: what to do",
        "request: req_bad",
    ]
    api.transport.faults.append(answer)
    done = shell("bunker", "rm", "bnk_1", "--json")
    assert done.code == exit_code
    assert done.json == []
    assert done.error == {
        "code": code,
        "message": "what happened",
        "hint": "what to do",
        "details": [detail],
        "request_id": "req_bad",
        "retry_after": None,
        "exec_id": None,
    }


def test_a_server_that_is_not_there(api: FakeApi, shell: Shell) -> None:
    api.transport.handler = never
    done = shell("bunker", "ls")
    assert done.code == 7
    assert "cannot connect to http://localhost" in done.complaint


def never(_: Seen) -> httpx.Response:
    raise httpx.ConnectError("refused")


def test_the_endpoint_from_anywhere(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    shell.environ.clear()
    done = shell("image", "ls")
    assert done.code == 2
    assert "SCAIGRID_HOST" in done.complaint
    assert shell("image", "ls", "--json").error["code"] == "ConfigurationError"

    key = tmp_path / "key"
    key.write_text("sgk_test\n")
    before = ("--endpoint", "http://localhost", "--api-key-file", str(key), "--json")
    assert shell(*before, "image", "ls").code == 0
    assert shell("image", "ls", *before).code == 0
    assert len(shell(*before, "image", "ls").json) == 3

    profile = tmp_path / "credentials.json"
    profile.write_text(
        '{"base_url": "http://localhost", "keys": {"user": "sgk_test", "viewer": "sgk_v"}}'
    )
    profile.chmod(0o600)
    assert shell("image", "ls", "--profile", str(profile)).code == 0
    assert shell("image", "ls", "--profile", str(profile), "--identity", "viewer").code == 4
    shell.environ["SCAIBUNKER_PROFILE"] = str(profile)
    assert shell("--identity", "user", "image", "ls").code == 0


def test_a_key_among_the_arguments_is_warned_of_and_never_shown(
    api: FakeApi, shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    done = shell("image", "ls", "--api-key", "sgk_wrong")
    assert done.code == 4
    assert "use --api-key-file" in done.complaint
    assert b"sgk_wrong" not in done.out + done.err
    assert "sgk_wrong" not in caplog.text
    both = ("--api-key", "sgk_test", "--api-key-file", str(tmp_path))
    assert shell("image", "ls", *both).code == 2


def test_warnings_of_the_sdk_are_shown(api: FakeApi, shell: Shell) -> None:
    done = shell("image", "ls", "--endpoint", "http://grid.example")
    assert done.complaint.count("warning: http://grid.example is not encrypted") == 1


def test_an_error_is_said_once(shell: Shell) -> None:
    done = shell("bunker", "create", "debian-12", "--memory", "1M")
    assert done.code == 2
    assert done.complaint.count("memory_mb") == 1
