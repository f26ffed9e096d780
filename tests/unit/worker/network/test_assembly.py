"""Which networks a host gives, and what keeps it from giving any."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from pydantic import SecretStr

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import features, host
from scaibunker.worker.network.assembly import gateway_home, open_networks
from scaibunker.worker.network.features import Feature
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.registries.current import Registries
from scaibunker.worker.network.settings import NetworkSettings
from scaibunker.worker.settings import WorkerSettings

V6 = IPv6Network("fd5c:a1ba:1::/64")


def settings(folder: Path, **network: object) -> WorkerSettings:
    return WorkerSettings(
        token=SecretStr("t" * 20),
        data_dir=folder / "data",
        runtime_dir=folder / "run",
        network=NetworkSettings(claims_dir=folder / "claims", **network),  # type: ignore[arg-type]
    )


async def offered(chosen: WorkerSettings) -> Sequence[str]:
    networks = await open_networks(chosen, "wrk_a", Registries(), Peers(), ())
    await networks.close()
    return networks.profiles


async def test_switched_off_there_are_none(tmp_path: Path) -> None:
    assert await offered(settings(tmp_path, enabled=False)) == ("isolated",)
    assert list(tmp_path.iterdir()) == []


async def test_without_what_they_need_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def probe() -> list[Feature]:
        return [Feature("TAP", None, ""), Feature("ifb", "Operation not supported", "load it")]

    monkeypatch.setattr(features, "probe", probe)
    assert await offered(settings(tmp_path)) == ("isolated",)
    assert "the host lacks ifb (Operation not supported)" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


async def test_an_interface_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(features, "probe", list)
    assert await offered(settings(tmp_path, outward="none0")) == ("isolated",)
    assert "none0" in capsys.readouterr().out


def test_ranges_with_an_address_of_the_host_are_refused() -> None:
    with pytest.raises(WorkerFault, match=r"127\.0\.0\.1"):
        host.check_ranges(Ranges(IPv4Network("127.0.0.0/16"), V6), "sbk")
    host.check_ranges(Ranges(IPv4Network("127.0.0.0/16"), V6), "lo")  # a slot's own


def test_packets_are_as_large_as_the_way_out_allows() -> None:
    assert host.default_mtu("lo") == host.LARGEST_MTU
    with pytest.raises(WorkerFault, match="none0"):
        host.default_mtu("none0")


def test_a_gateway_has_a_user_that_no_machine_has(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    last_of_machines = chosen.vmm_uid_base + 1000 * 1000 - 1
    homes = [gateway_home(chosen, f"wrk_{n}") for n in range(50)]
    assert min(home.uid for home in homes) > last_of_machines
    assert len({home.run_dir for home in homes}) == 50
