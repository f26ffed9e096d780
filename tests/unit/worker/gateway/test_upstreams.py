"""Which resolvers the host asks."""

from pathlib import Path

import pytest

from scaibunker.worker.gateway.upstreams import read_from


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 192.0.2.1\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
        ("search a.test\n# nameserver 192.0.2.9\n\tnameserver\t192.0.2.1  \n", ["192.0.2.1"]),
        ("nameserver fe80::1%eth0\n", ["fe80::1%eth0"]),
        ("nameserver not-an-address\nnameserver\n", ["127.0.0.1"]),
        ("".join(f"nameserver 192.0.2.{i}\n" for i in range(1, 9)), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        ("", ["127.0.0.1"]),
    ],
)  # fmt: skip
def test_resolv_conf(tmp_path: Path, text: str, found: list[str]) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    assert read_from(path) == tuple((address, 53) for address in found)


def test_without_a_file_this_host_is_asked(tmp_path: Path) -> None:
    assert read_from(tmp_path / "none") == (("127.0.0.1", 53),)
