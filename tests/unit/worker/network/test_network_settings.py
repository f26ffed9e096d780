"""Settings of networks: what is refused, and buckets that follow from bandwidths."""

import pytest
from pydantic import ValidationError

from scaibunker.worker.network.bandwidth import LEAST_BURST, bucket
from scaibunker.worker.network.settings import NetworkSettings, endpoint


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:54", ("2001:db8::1", 54)),
    ],
)
def test_resolvers_have_addresses_and_ports(text: str, meant: tuple[str, int]) -> None:
    assert endpoint(text) == meant
    assert NetworkSettings(upstream_resolvers=[text]).upstreams == (meant,)


@pytest.mark.parametrize(
    "text", ["", "dns.test", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", "[::1]:-1", "[::1]x"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="upstream_resolvers"):
        NetworkSettings(upstream_resolvers=[text])


@pytest.mark.parametrize(
    "fields",
    [
        {"transfer_v4": "10.0.0.0/30"},
        {"transfer_v4": "10.0.0.1/16"},
        {"transfer_v6": "fd00::/127"},
        {"bandwidth_mbit": 0},
        {"bandwidth_mbit": 10_001},
        {"mtu": 576},
        {"outward": "eth0; reboot"},
        {"permitted_ranges": ["everywhere"]},
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NetworkSettings(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("mbit", [1, 10, 100, 1000, 10_000])
@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_a_bucket_fits_its_rate(mbit: int, mtu: int) -> None:
    made = bucket(mbit, mtu)
    assert made.rate * 8 == mbit * 1_000_000
    assert made.burst >= max(LEAST_BURST, 4 * mtu)
    assert made.burst <= max(LEAST_BURST, 4 * mtu, made.rate // 100)
    assert made.limit - made.burst >= 64 * 1024  # the largest segment of a guest can wait
    assert made.limit < 1 << 32
