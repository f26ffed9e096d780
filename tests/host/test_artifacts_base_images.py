"""What the built artifacts promise, read from their own bytes with e2fsprogs."""

from pathlib import Path

import pytest

from scaibunker.artifacts.manifest import Artifacts, BaseImage
from scaibunker.artifacts.store import digest
from scaibunker.artifacts.vmlinux import is_bootable_elf
from tests.host.ext4 import assert_sound, debugfs, names


@pytest.fixture(params=["debian-12", "python-3.11"])
def image(request: pytest.FixtureRequest, artifacts: Artifacts) -> BaseImage:
    return next(image for image in artifacts.images if image.name == request.param)


def test_the_file_system_is_sound_and_named_by_its_content(image: BaseImage) -> None:
    assert_sound(image.path, 120)
    assert digest(image.path) == image.sha256 == image.path.name
    assert image.path.stat().st_size == image.size_bytes < 200 << 20
    assert image.path.stat().st_mode & 0o777 == 0o644


def test_a_small_machine_has_what_a_user_expects(image: BaseImage) -> None:
    programs = set(names(image.path, "/usr/bin"))
    assert {"bash", "curl", "ip", "ps", "less", "tar", "gzip", "openssl"} <= programs
    assert {"null", "zero", "urandom", "tty", "fd", "pts", "shm"} <= set(names(image.path, "/dev"))
    assert "ca-certificates.crt" in set(names(image.path, "/etc/ssl/certs"))
    assert "Mode:  04755" in debugfs(image.path, "stat /usr/bin/su")
    assert "Mode:  01777" in debugfs(image.path, "stat /tmp")


def test_nothing_of_the_host_that_baked_it_is_in_it(image: BaseImage) -> None:
    assert {"hostname", "resolv.conf"} & set(names(image.path, "/etc")) == set()
    assert debugfs(image.path, "cat /etc/machine-id") == ""
    for emptied in ("/var/log", "/tmp", "/var/lib/apt/lists", "/etc/apt/sources.list.d"):
        assert set(names(image.path, emptied)) == set(), emptied
    example = debugfs(image.path, "cat /usr/share/doc/apt/examples/sources.list")
    sources = debugfs(image.path, "cat /etc/apt/sources.list").splitlines()
    assert len(sources) == 3
    for line in sources:
        assert line in example
        assert line.endswith(" main")


def test_python_is_ready_to_use(artifacts: Artifacts) -> None:
    image = next(image for image in artifacts.images if image.name == "python-3.11")
    assert image.version.startswith("3.11.")
    assert {"python", "python3", "pip", "pip3"} <= set(names(image.path, "/usr/bin"))
    assert "break-system-packages = true" in debugfs(image.path, "cat /etc/pip.conf")
    assert "json" in set(names(image.path, "/usr/lib/python3.11"))
    compiled = set(names(image.path, "/usr/lib/python3.11/__pycache__"))
    assert "argparse.cpython-311.pyc" in compiled


def test_bytecode_needs_no_check_against_its_source(artifacts: Artifacts, tmp_path: Path) -> None:
    image = next(image for image in artifacts.images if image.name == "python-3.11")
    copy = tmp_path / "argparse.pyc"
    debugfs(image.path, f"dump /usr/lib/python3.11/__pycache__/argparse.cpython-311.pyc {copy}")
    assert copy.read_bytes()[4:8] == b"\1\0\0\0"  # by hash, unchecked


def test_the_kernel_boots_without_unpacking_itself(artifacts: Artifacts) -> None:
    assert is_bootable_elf(artifacts.boot.kernel.read_bytes())
    for path in (artifacts.boot.kernel, artifacts.boot.initramfs):
        assert path.stat().st_mode & 0o777 == 0o644
        assert digest(path) == path.name
