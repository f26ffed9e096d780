"""The text of bridges' rules: what is known of a port is all that it is made of."""

import re

import pytest

from scaibunker.wire.worker.network import InterfaceOrder
from scaibunker.worker.network.bridges import rules

PORT = "t0123456789ab0"
GUARDED = InterfaceOrder(if_name="eth0", bridge_id="brg_1", mac="02:00:00:00:00:01")
OPEN = GUARDED.model_copy(update={"spoof_guard": False})


def things(text: str, verb: str, kind: str) -> list[str]:
    return re.findall(rf"^{verb} {kind} {rules._T} (\S+)", text, re.MULTILINE)


def test_nothing_passes_without_a_port() -> None:
    text = rules.of_bridge()
    assert text.count("policy drop") == 3
    assert "accept" not in text


@pytest.mark.parametrize("interface", [GUARDED, OPEN])
def test_a_port_is_opened_by_the_last_line(interface: InterfaceOrder) -> None:
    lines = rules.of_port(PORT, interface).splitlines()
    opening = [number for number, line in enumerate(lines) if "ports {" in line]
    assert opening == [len(lines) - 1]
    assert lines[-1].endswith(f'{{ "{PORT}" : goto port_{PORT} }}')


def test_a_guarded_port_is_judged_by_its_mac_before_anything_passes() -> None:
    text = rules.of_port(PORT, GUARDED)
    judged = [line for line in text.splitlines() if f"add rule {rules._T} port_{PORT}" in line]
    guard = next(
        i for i, line in enumerate(judged) if line.endswith("ether saddr != 02:00:00:00:00:01 drop")
    )
    assert not any("accept" in line or "goto" in line for line in judged[:guard])
    assert "0x020000000001" in text
    assert "0x020000000001" not in rules.of_port(PORT, OPEN)


def test_whatever_a_port_was_all_of_it_goes() -> None:
    made = rules.of_port(PORT, GUARDED) + rules.of_port(PORT, OPEN) + rules.close(PORT)
    gone = rules.forget(PORT, ["10.0.0.1"], ["0x1"])
    for kind in ("set", "chain"):
        assert set(things(made, "add", kind)) == set(things(gone, "delete", kind))
        assert len(things(gone, "delete", kind)) == len(set(things(gone, "delete", kind)))


def test_what_is_forgotten_need_not_be_there() -> None:
    text = rules.forget(PORT, ["10.0.0.1", "10.0.0.2"], ["0x1"])
    for name, address in (("seen4", "10.0.0.1"), ("seen4", "10.0.0.2"), ("seen6", "0x1")):
        added, deleted = (
            text.index(f"{verb} element {rules._T} {name} {{ {address} }}")
            for verb in ("add", "delete")
        )
        assert added < deleted
