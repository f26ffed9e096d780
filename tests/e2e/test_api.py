"""The product as a caller meets it: the API of a running `scaibunker dev`, with real machines."""

import base64
import hashlib
import os
import stat
import threading
import time

import httpx
import pytest

from tests.e2e.stack import Api, DevStack, error_code, sse
from tests.waiting import wait_until

ALL_THE_SAME_S = 200
"""Within which a call has come back that did not wait for what runs for 1000 s."""


def test_credentials_are_there_and_private(stack: DevStack) -> None:
    path = stack.data_dir / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = stack.credentials
    assert found["base_url"] == stack.url
    assert set(found["keys"]) == {"super_admin", "tenant_admin", "user", "viewer"}
    assert all(key.startswith("sgk_") and len(key) >= 36 for key in found["keys"].values())
    assert found["tenant_id"]
    assert found["worker_token"]


def test_keys_that_do_not_fit(stack: DevStack, bunker: str) -> None:
    assert error_code(httpx.get(f"{stack.url}/v1/me")) == "AUTH_TOKEN_MISSING"
    with stack.client(key="sgk_" + "x" * 43) as stranger:
        answer = stranger.get(f"/bunkers/{bunker}")
        assert (answer.status_code, error_code(answer)) == (401, "AUTH_TOKEN_INVALID")
    with stack.client("viewer") as viewer:
        assert viewer.get(f"/bunkers/{bunker}").status_code in (403, 404)
        assert viewer.post("/bunkers", json={"image": "debian-12"}).status_code == 403
    with stack.client("tenant_admin") as admin:
        assert admin.get(f"/bunkers/{bunker}").status_code == 200


def test_it_is_another_computer(api: Api, bunker: str) -> None:
    result = api.exec(bunker, "uname -r; id -u; id -un; pwd; ls /sys/class/net")
    kernel, uid, name, home, *devices = result["stdout"].split()
    assert kernel != os.uname().release
    assert (uid, name, home, devices) == ("1000", "bunker", "/home/bunker", ["lo"])
    assert result["exit_code"] == 0
    assert result["encoding"] == "utf-8"
    assert api.exec(bunker, ["id", "-u"], user="root")["stdout"] == "0\n"


def test_a_stream(api: Api, bunker: str) -> None:
    body = {"command": "echo out; echo err >&2; exit 3", "stream": True}
    with api.http.stream("POST", f"/bunkers/{bunker}/exec", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = list(sse(answer))
    kinds = [kind for kind, _ in events]
    assert kinds[0] == "started"
    assert ("stdout", {"data": "out\n", "encoding": "utf-8"}) in events
    assert ("stderr", {"data": "err\n", "encoding": "utf-8"}) in events
    assert kinds[-2] == "exit"
    assert events[-2][1]["exit_code"] == 3
    assert events[-1][1] == "[DONE]"


def test_commands_that_fail(api: Api, bunker: str) -> None:
    missing = api.exec(bunker, ["no-such-command"])
    assert missing["exit_code"] == 127
    assert "no-such-command" in missing["stderr"]
    assert api.exec(bunker, ["/etc/passwd"])["exit_code"] == 126
    killed = api.exec(bunker, "kill -TERM $$")
    assert (killed["exit_code"], killed["signal"]) == (None, "SIGTERM")
    begun = time.monotonic()
    late = api.exec(bunker, "echo before; sleep 1000 | cat", timeout_s=1)
    assert late["timed_out"] is True
    assert late["exit_code"] is None
    assert late["stdout"] == "before\n"
    assert time.monotonic() - begun < ALL_THE_SAME_S


def test_a_background_child_does_not_hold_the_call(api: Api, bunker: str) -> None:
    begun = time.monotonic()
    result = api.exec(bunker, "sleep 1000 & echo started")
    assert result["stdout"] == "started\n"
    assert time.monotonic() - begun < ALL_THE_SAME_S


def test_binary_output_is_base64(api: Api, bunker: str) -> None:
    result = api.exec(bunker, r"printf '\377\376\000x'; echo text >&2")
    assert result["encoding"] == "base64"
    assert base64.b64decode(result["stdout"]) == b"\xff\xfe\x00x"
    assert base64.b64decode(result["stderr"]) == b"text\n"


def test_ten_megabytes_of_input(api: Api, bunker: str) -> None:
    blob = os.urandom(10_000_000)
    result = api.exec(
        bunker, "sha256sum", stdin_base64=base64.b64encode(blob).decode(), timeout_s=100
    )
    assert result["stdout"].split()[0] == hashlib.sha256(blob).hexdigest()


def test_a_hundred_megabytes_of_output(api: Api, bunker: str) -> None:
    size = 100_000_000
    result = api.exec(bunker, f"yes abcdefg | head -c {size}", timeout_s=300)
    assert result["exit_code"] == 0
    assert result["stdout_truncated"] is True
    assert len(result["stdout"]) == 256 * 1024
    assert result["full_output_ref"]
    path = f"/bunkers/{bunker}/execs/{result['exec_id']}/output?stream=stdout"
    got = 0
    with api.http.stream("GET", path) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_bytes():
            got += len(chunk)
    assert got == size


def test_the_log_knows_every_command(api: Api, bunker: str) -> None:
    result = api.exec(bunker, "echo for the log; exit 5")
    (entry,) = (
        e
        for e in api.http.get(f"/bunkers/{bunker}/execs").json()["data"]
        if e["exec_id"] == result["exec_id"]
    )
    assert entry["exit_code"] == 5
    assert entry["output_preview"] == "for the log\n"
    assert entry["command"] == "echo for the log; exit 5"


def test_a_detached_command(api: Api, bunker: str) -> None:
    command = "read line; echo got $line; sleep 0.5; echo end; exit 4"
    body = {"command": command, "detach": True}
    answer = api.http.post(f"/bunkers/{bunker}/exec", json=body)
    exec_id = answer.json()["data"]["exec_id"]
    sent = api.http.post(
        f"/bunkers/{bunker}/execs/{exec_id}/stdin", json={"data": "hello\n", "eof": True}
    )
    assert sent.status_code < 300, sent.text
    with api.http.stream("GET", f"/bunkers/{bunker}/execs/{exec_id}/events") as events:
        seen = list(sse(events))
    text = "".join(data["data"] for kind, data in seen if kind == "stdout")
    assert text == "got hello\nend\n"
    assert [data["exit_code"] for kind, data in seen if kind == "exit"] == [4]
    record = api.http.get(f"/bunkers/{bunker}/execs/{exec_id}").json()["data"]
    assert record["exit_code"] == 4


def test_a_detached_command_can_be_signalled(api: Api, bunker: str) -> None:
    body = {"command": "sleep 300", "detach": True}
    exec_id = api.http.post(f"/bunkers/{bunker}/exec", json=body).json()["data"]["exec_id"]
    answer = api.http.post(f"/bunkers/{bunker}/execs/{exec_id}/signal", json={"signal": "SIGTERM"})
    assert answer.status_code < 300, answer.text
    with api.http.stream("GET", f"/bunkers/{bunker}/execs/{exec_id}/events") as events:
        exits = [data for kind, data in sse(events) if kind == "exit"]
    assert exits[0]["signal"] == "SIGTERM"


def test_a_client_that_disconnects_ends_its_command(api: Api, bunker: str) -> None:
    body = {"command": "sleep 271 | cat", "stream": True}
    with api.http.stream("POST", f"/bunkers/{bunker}/exec", json=body) as answer:
        next(sse(answer))

    def is_over() -> bool:
        return bool(api.exec(bunker, "pgrep -f '[s]leep 271'", user="root")["exit_code"] != 0)

    wait_until(is_over, 30)


def test_files(api: Api, bunker: str) -> None:
    url = f"/bunkers/{bunker}/files"
    content = os.urandom(3_000_000)
    put = api.http.put(url, params={"path": "/home/bunker/a/b/c.bin"}, content=content)
    assert put.status_code == 200, put.text
    assert api.http.get(url, params={"path": "/home/bunker/a/b/c.bin"}).content == content
    part = api.http.get(
        url, params={"path": "/home/bunker/a/b/c.bin"}, headers={"Range": "bytes=10-19"}
    )
    assert (part.status_code, part.content) == (206, content[10:20])
    entry = api.http.get(url + "/stat", params={"path": "/home/bunker/a/b/c.bin"}).json()["data"]
    assert (entry["type"], entry["size"], entry["uid"]) == ("file", len(content), 1000)
    listed = api.http.get(url + "/list", params={"path": "/home/bunker/a", "recursive": "true"})
    assert [e["path"] for e in listed.json()["data"]] == [
        "/home/bunker/a/b",
        "/home/bunker/a/b/c.bin",
    ]
    move = {"source": "/home/bunker/a/b/c.bin", "destination": "/home/bunker/moved"}
    assert api.http.post(url + "/move", json=move).status_code == 200
    assert api.http.delete(url, params={"path": "/home/bunker/moved"}).status_code == 200
    gone = api.http.get(url, params={"path": "/home/bunker/moved"})
    assert (gone.status_code, error_code(gone)) == (404, "FILE_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/home/bunker/../../etc/shadow", 422, "VALIDATION_ERROR"),
        ("PUT", "relative", 422, "VALIDATION_ERROR"),
        ("PUT", "/home/bunker", 409, "FILE_IS_DIRECTORY"),
        ("GET", "/home/bunker", 409, "FILE_IS_DIRECTORY"),
        ("GET", "/nowhere", 404, "FILE_NOT_FOUND"),
        ("GET", "/etc/shadow", 403, "AUTHZ_PERMISSION_DENIED"),
        ("PUT", "/etc/passwd", 403, "AUTHZ_PERMISSION_DENIED"),
    ],
)
def test_files_that_are_refused(
    api: Api, bunker: str, method: str, path: str, status: int, code: str
) -> None:
    answer = api.http.request(
        method,
        f"/bunkers/{bunker}/files",
        params={"path": path},
        content=b"x" if method == "PUT" else None,
    )
    assert (answer.status_code, error_code(answer)) == (status, code)


def test_a_full_disk(api: Api) -> None:
    bunker = api.create(disk_mb=64)
    url = f"/bunkers/{bunker}/files"
    answer = api.http.put(url, params={"path": "/home/bunker/big"}, content=b"x" * 100_000_000)
    assert (answer.status_code, error_code(answer)) == (507, "FILE_NO_SPACE")
    listed = api.http.get(url + "/list", params={"path": "/home/bunker"}).json()["data"]
    assert [e["name"] for e in listed if e["size"] > 1_000_000] == []
    small = api.http.put(url, params={"path": "/home/bunker/small"}, content=b"fits")
    assert small.status_code == 200
    api.delete(bunker)


def test_a_fork_bomb_is_held(api: Api) -> None:
    bunker = api.create()
    api.exec(bunker, "bomb() { bomb | bomb & }; bomb; sleep 2", timeout_s=5)
    assert api.exec(bunker, "echo alive", user="root", timeout_s=60)["stdout"] == "alive\n"
    assert api.status(bunker)["status"] == "running"
    api.delete(bunker)


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"image": "no-such-image"}, 404, "IMAGE_NOT_FOUND", None),
        ({"memory_mb": 63}, 422, "VALIDATION_ERROR", "memory_mb"),
        ({"memory_mb": 10_000_000}, 422, "VALIDATION_ERROR", "memory_mb"),
        ({"cpu_millicores": 99}, 422, "VALIDATION_ERROR", "cpu_millicores"),
        ({"disk_mb": 63}, 422, "VALIDATION_ERROR", "disk_mb"),
        ({"no_such_field": 1}, 422, "VALIDATION_ERROR", "no_such_field"),
        ({"network_profile": "unrestricted"}, 403, "NETWORK_PROFILE_DENIED", None),
        (
            {"network_profile": "allowlisted", "network_allowlist": ["https://files.test"]},
            422,
            "NETWORK_ALLOWLIST_INVALID",
            "network_allowlist.0",
        ),
    ],
)
def test_creates_that_are_refused(
    api: Api, fields: dict[str, object], status: int, code: str, field: str | None
) -> None:
    answer = api.http.post("/bunkers", json={"image": "debian-12", **fields})
    assert (answer.status_code, error_code(answer)) == (status, code), answer.text
    if field:
        assert field in [d["field"] for d in answer.json()["error"]["details"]]


def test_two_bunkers_see_nothing_of_each_other(api: Api, bunker: str) -> None:
    other = api.create()
    api.exec(bunker, "echo mine > /tmp/secret; sleep 281 & true")
    result = api.exec(other, "cat /tmp/secret; pgrep -f '[s]leep 281'", user="root")
    assert result["exit_code"] != 0
    assert result["stdout"] == ""
    api.delete(other)


def test_pause_and_resume(api: Api) -> None:
    bunker = api.create()
    api.exec(bunker, "(while :; do date +%s > /tmp/tick; done) & true")
    assert api.http.post(f"/bunkers/{bunker}/pause").json()["data"]["status"] == "paused"
    answer = api.http.post(f"/bunkers/{bunker}/exec", json={"command": "true"})
    assert (answer.status_code, error_code(answer)) == (409, "BUNKER_NOT_RUNNING")
    again = api.http.post(f"/bunkers/{bunker}/pause")
    assert (again.status_code, error_code(again)) == (409, "BUNKER_INVALID_TRANSITION")
    assert api.http.post(f"/bunkers/{bunker}/resume").json()["data"]["status"] == "running"
    asked = time.time()
    clock = float(api.exec(bunker, "date +%s.%N")["stdout"])
    assert asked - 0.5 < clock < time.time() + 0.5
    api.delete(bunker)


def test_events_tell_a_bunkers_life(stack: DevStack, api: Api) -> None:
    answer = api.http.post("/bunkers", json={"image": "debian-12", "memory_mb": 256})
    bunker = answer.json()["data"]["id"]
    seen: list[str] = []

    def follow() -> None:
        with stack.client() as http, http.stream("GET", f"/bunkers/{bunker}/events") as events:
            for _, data in sse(events):
                if data == "[DONE]":
                    return
                seen.append(data["status"])

    follower = threading.Thread(target=follow)
    follower.start()
    api.until(bunker, "running")
    api.delete(bunker)
    follower.join(30)
    assert not follower.is_alive()
    assert seen[-1] == "terminated"
    assert "running" in seen


def test_deleting_twice_is_fine(api: Api) -> None:
    bunker = api.create()
    api.delete(bunker)
    assert api.status(bunker)["status"] == "terminated"
    api.delete(bunker)
    answer = api.http.post(f"/bunkers/{bunker}/exec", json={"command": "true"})
    assert (answer.status_code, error_code(answer)) == (409, "BUNKER_NOT_RUNNING")
