"""`scaibunker quota` and `worker`: what people write becomes what the API takes, and tables of it."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.sdk.fake_api import FakeApi
from tests.unit.sdk.fake_quotas import usage_row


def body_of(api: FakeApi, method: str) -> Any:
    return json.loads(api.requests(method)[-1].body)


def test_create(api: FakeApi, shell: Shell) -> None:
    argv = (
        "quota create small --bunkers 20 --persistent 0 --cpu 1.5 --memory 2G --disk none --gpus 1 "
        "--per-bunker-cpu 500m --per-bunker-memory 512 --per-bunker-disk 1G --per-bunker-gpus 0"
    )
    assert shell(*argv.split()).text == "qpf_1\n"
    assert body_of(api, "POST") == {
        "name": "small",
        "description": "",
        "tenant_id": "ten_1",  # the caller's own
        "max_concurrent_bunkers": 20,
        "max_persistent_bunkers": 0,
        "max_cpu_millicores": 1500,
        "max_memory_mb": 2048,
        "max_disk_mb": None,
        "max_gpu_count": 1,
        "per_bunker_max_cpu": 500,
        "per_bunker_max_memory": 512,
        "per_bunker_max_disk": 1024,
        "per_bunker_max_gpu": 0,
    }


@pytest.mark.parametrize(
    ("argv", "tenant"),
    [((), "ten_1"), (("--tenant", "ten_2"), "ten_2"), (("--platform",), None)],
)
def test_whose_a_profile_is_is_always_said(
    api: FakeApi, shell: Shell, argv: tuple[str, ...], tenant: str | None
) -> None:
    made = shell("quota", "create", "default", "--description", "for all", *argv, "--json").json
    assert body_of(api, "POST") == {
        "name": "default",
        "description": "for all",
        "tenant_id": tenant,
    }
    assert made["tenant_id"] == tenant


def test_change(api: FakeApi, shell: Shell) -> None:
    shell("quota", "create", "small", "--bunkers", "1", "--memory", "1G")
    assert shell("quota", "set", "small", "--bunkers", "none", "--name", "big").text == "qpf_1\n"
    assert body_of(api, "PATCH") == {"max_concurrent_bunkers": None, "name": "big"}
    shell("quota", "set", "qpf_1", "--description", "")
    assert body_of(api, "PATCH") == {"description": ""}
    shown = shell("quota", "show", "big", "--json").json
    assert (shown["max_concurrent_bunkers"], shown["max_memory_mb"]) == (None, 1024)
    assert "max_memory_mb" in shell("quota", "show", "big").text
    before = len(api.requests("PATCH"))
    assert shell("quota", "set", "big").code == 2
    assert len(api.requests("PATCH")) == before


def test_ls_and_rm(api: FakeApi, shell: Shell) -> None:
    for number in range(3):
        shell("quota", "create", f"p{number}", "--cpu", "1.5", "--memory", "1G")
    header, *lines = shell("quota", "ls").text.splitlines()
    assert header.split() == [
        *("ID", "NAME", "OF", "BUNKERS", "PERSISTENT", "CPU", "MEMORY", "DISK", "GPUS"),
    ]
    assert lines[0].split() == [
        *("qpf_3", "p2", "ten_1", "-", "-", "1.5", "1024", "MiB", "-", "-"),
    ]
    assert len(lines) == 3
    assert len(shell("quota", "ls", "--limit", "1", "--json").json) == 1
    done = shell("quota", "rm", "p0", "nosuch", "qpf_2")
    assert (done.code, done.text) == (3, "qpf_1\nqpf_2\n")
    assert "no quota profile is named 'nosuch'" in done.complaint
    assert [row["id"] for row in shell("quota", "ls", "--json").json] == ["qpf_3"]


def test_a_name_that_two_profiles_have(api: FakeApi, shell: Shell) -> None:
    shell("quota", "create", "same")
    shell("quota", "create", "same", "--platform")
    done = shell("quota", "show", "same")
    assert done.code == 5
    assert "qpf_2, qpf_1" in done.complaint


def test_assign_and_unassign(api: FakeApi, shell: Shell) -> None:
    shell("quota", "create", "small")
    assert shell("quota", "assign", "small", "--user", "usr_1").text == "qas_1\n"
    assert body_of(api, "POST") == {"target_kind": "user", "target_id": "usr_1"}
    given = shell("quota", "assign", "small", "--group", "grp_1", "--per-user", "--json").json
    assert body_of(api, "POST") == {
        "target_kind": "group",
        "target_id": "grp_1",
        "mode": "per_user",
    }
    assert (given["id"], given["mode"]) == ("qas_2", "per_user")
    shell("quota", "assign", "small", "--group", "grp_2")
    lines = shell("quota", "assignments", "small").text.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["ID", "KIND", "TARGET", "MODE"],
        ["qas_3", "group", "grp_2", "shared"],
        ["qas_2", "group", "grp_1", "per_user"],
        ["qas_1", "user", "usr_1", "individual"],
    ]
    assert shell("quota", "unassign", "small", "--user", "usr_1").text == "qas_1\n"
    assert shell("quota", "unassign", "small", "--group", "grp_1", "--json").json == given
    gone = shell("quota", "unassign", "small", "--user", "usr_1")
    assert (gone.code, gone.text) == (3, "")
    assert [row["id"] for row in api.quotas.assignments] == ["qas_3"]


@pytest.mark.parametrize(
    "argv",
    [
        "assign small",
        "assign small --user usr_1 --group grp_1",
        "assign small --user usr_1 --per-user",
        "unassign small",
        "create x --tenant ten_1 --platform",
        "create x --bunkers -1",
        "create x --bunkers 1.5",
        "create x --memory much",
        "create x --gpus None",
        "set small",
    ],
)
def test_what_makes_no_sense_is_not_sent(api: FakeApi, shell: Shell, argv: str) -> None:
    shell("quota", "create", "small")
    made = len(api.requests("POST"))
    assert shell("quota", *argv.split()).code == 2
    assert len(api.requests("POST")) == made
    assert api.requests("PATCH") == []


def test_usage(api: FakeApi, shell: Shell) -> None:
    api.quotas.usage = [usage_row("group:grp_1", 3, 20), usage_row("user:usr_1", 2, None)]
    header, *lines = shell("quota", "usage").text.splitlines()
    assert header.split()[:3] == ["BUCKET", "NAME", "BUNKERS"]
    assert lines[0].split() == [
        *("group:grp_1", "1", "3", "of", "20", "0", "3", "of", "20", "0", "MiB", "0", "MiB", "0"),
    ]
    assert lines[1].split() == ["user:usr_1", "-", "2", "0", "2", "0", "MiB", "0", "MiB", "0"]
    assert shell("quota", "usage", "--json").json == api.quotas.usage


def test_workers(api: FakeApi, shell: Shell) -> None:
    assert shell("worker", "drain", "here").text == "wrk_1\n"
    assert shell("worker", "ls").text.splitlines()[1].split()[:4] == [
        *("wrk_1", "here", "online", "yes"),
    ]
    shown = {
        line.split()[0]: " ".join(line.split()[1:])
        for line in shell("worker", "show", "here").text.splitlines()
    }
    assert shown["reasons"] == "it is drained"
    assert shown["registry_hosts"] == "*.files.registry.test, pypi.registry.test"
    assert shown["default_bandwidth_mbit"] == "100"
    assert shown["total"] == "2 cores, 4096 MiB memory, 20000 MiB disk"
    assert shown["bunkers_by_status"] == "1 running"
    assert shell("worker", "show", "wrk_1", "--json").json == {
        **api.workers[0],
        **{name: {**api.workers[0][name], "gpus": {}} for name in ("total", "reserved", "used")},
    }
    done = shell("worker", "resume", "wrk_9", "wrk_1", "nosuch", "--json")
    assert done.code == 3
    assert [row["draining"] for row in done.json] == [False]
    assert shell("worker", "show", "nosuch").code == 3
