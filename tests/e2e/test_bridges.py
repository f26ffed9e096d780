"""Bridges in the all in one: made by the command line, kept over restarts, gone from the host when it stops."""

import json
from typing import Any

from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges.names import namespace_prefix
from scaibunker.worker.network.naming import Names
from tests.e2e.stack import DevStack
from tests.waiting import wait_until


def cli(stack: DevStack, *arguments: str) -> Any:
    """What an administrator's command line says, as JSON."""
    credentials = str(stack.data_dir / "credentials.json")
    done = stack.cli("--profile", credentials, "--identity", "tenant_admin", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def namespaces(stack: DevStack) -> list[str]:
    names = Names.of((stack.data_dir / "worker" / "worker-id").read_text())
    return [name for name in netns.names() if name.startswith(namespace_prefix(names))]


def test_a_bridge_is_kept_and_nothing_of_it_left(private_stack: DevStack) -> None:
    stack = private_stack
    stack.start()
    [worker] = cli(stack, "worker", "ls")
    assert "transit" in cli(stack, "worker", "show", worker["id"])["network_profiles"]
    made = cli(stack, "bridge", "create", "lan", "--worker", worker["id"])
    assert len(namespaces(stack)) == 1
    bunker = cli(
        stack, "bunker", "create", "debian-12", "--memory", "256", "--network", "transit",
        "--interface", "if=eth0,bridge=lan,mac=02:00:00:00:00:42",
    )  # fmt: skip
    assert (bunker["status"], bunker["worker_id"]) == ("running", worker["id"])
    seen = cli(stack, "exec", bunker["id"], "--", "cat", "/sys/class/net/eth0/address")
    assert seen["stdout"].strip() == "02:00:00:00:00:42"
    assert stack.stop() == 0
    assert stack.leftovers() == []
    assert namespaces(stack) == []

    stack.start()
    wait_until(lambda: len(namespaces(stack)) == 1, 30)
    assert cli(stack, "bridge", "show", "lan")["id"] == made["id"]
    assert cli(stack, "bridge", "show", "lan")["status"] == "ready"
    wait_until(
        lambda: cli(stack, "bunker", "show", bunker["id"])["status"] in ("failed", "terminated"), 60
    )
    cli(stack, "bridge", "rm", "lan")
    wait_until(lambda: namespaces(stack) == [], 30)
    assert cli(stack, "bridge", "ls") == []
    assert stack.stop() == 0
    assert stack.leftovers() == []
