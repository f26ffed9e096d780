"""The command line against the running product."""

import json
import os
from pathlib import Path

from scaibunker.sdk import Client
from tests.e2e.stack import Api, DevStack


def test_run_takes_the_commands_exit_code_and_leaves_nothing(stack: DevStack) -> None:
    done = stack.cli(
        "run",
        "debian-12",
        "--memory",
        "256",
        "--",
        "sh",
        "-c",
        "cat; echo e >&2; exit 7",
        stdin=b"in",
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == b"in"
    assert b"e\n" in done.stderr
    assert stack.vmm_pids() == []


def test_a_bunkers_life_in_verbs(stack: DevStack, tmp_path: Path) -> None:
    made = stack.cli("bunker", "create", "debian-12", "--memory", "256", "--json")
    assert made.returncode == 0, made.stderr
    bunker = json.loads(made.stdout)["id"]
    listed = stack.cli("bunker", "ls", "--json")
    assert bunker in listed.stdout.decode()
    local = tmp_path / "blob"
    local.write_bytes(os.urandom(500_000))
    assert stack.cli("cp", str(local), f"{bunker}:/home/bunker/blob").returncode == 0
    back = tmp_path / "back"
    assert stack.cli("cp", f"{bunker}:/home/bunker/blob", str(back)).returncode == 0
    assert back.read_bytes() == local.read_bytes()
    done = stack.cli("exec", bunker, "--", "sh", "-c", "wc -c < blob; exit 3")
    assert (done.returncode, done.stdout.strip()) == (3, b"500000")
    assert stack.cli("bunker", "pause", bunker).returncode == 0
    assert stack.cli("bunker", "resume", bunker).returncode == 0
    assert stack.cli("bunker", "rm", bunker).returncode == 0
    shown = json.loads(stack.cli("bunker", "show", bunker, "--json").stdout)
    assert shown["status"] == "terminated"


def test_doctor(stack: DevStack) -> None:
    done = stack.cli("doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert "qemu" in done.stdout.decode()


def test_sdk_as_the_readme_shows_it(stack: DevStack, api: Api) -> None:
    with (
        Client.from_profile(stack.data_dir / "credentials.json") as client,
        client.bunkers.create(image="python-3.11", wait=True) as bunker,
    ):
        assert "Linux" in bunker.exec("uname -a").stdout
        assert bunker.exec(["python3", "-c", "print(6 * 7)"]).stdout == "42\n"
        bunker.files.write("/home/bunker/hello.txt", b"hello\n")
        assert bunker.files.read("/home/bunker/hello.txt") == b"hello\n"
    assert api.status(bunker.id)["status"] == "terminated"
