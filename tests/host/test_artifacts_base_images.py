"""What the built artifacts promise, read from their own bytes with e2fsprogs."""

import subprocess
from pathlib import Path

import pytest

from scaibunker.artifacts.manifest import Artifacts, BaseImage
from scaibunker.artifacts.store import digest
from scaibunker.artifacts.vmlinux import is_bootable_elf


def debugfs(image: BaseImage, command: str) -> str:
    done = subprocess.run(
        ["/usr/sbin/debugfs", "-R", command, image.path],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr.partition("\n")[2]  # without the program's own version


def names(image: BaseImage, directory: str) -> set[str]:
    lines = debugfs(image, f"ls -p {directory}").splitlines()
    return {line.split("/")[5] for line in lines if line.startswith("/")} - {"", ".", ".."}


@pytest.fixture(params=["debian-12", "python-3.11"])
def image(request: pytest.FixtureRequest, artifacts: Artifacts) -> BaseImage:
    return next(image for image in artifacts.images if image.name == request.param)


def test_the_file_system_is_sound_and_named_by_its_content(image: BaseImage) -> None:
    check = subprocess.run(
        ["/usr/sbin/e2fsck", "-fn", image.path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert check.returncode == 0, check.stdout
    assert digest(image.path) == image.sha256 == image.path.name
    assert image.path.stat().st_size == image.size_bytes < 200 << 20
    assert image.path.stat().st_mode & 0o777 == 0o644


def test_a_small_machine_has_what_a_user_expects(image: BaseImage) -> None:
    programs = names(image, "/usr/bin")
    assert {"bash", "curl", "ip", "ps", "less", "tar", "gzip", "openssl"} <= programs
    assert {"null", "zero", "urandom", "tty", "fd", "pts", "shm"} <= names(image, "/dev")
    assert "ca-certificates.crt" in names(image, "/etc/ssl/certs")
    assert "Mode:  04755" in debugfs(image, "stat /usr/bin/su")
    assert "Mode:  01777" in debugfs(image, "stat /tmp")


def test_nothing_of_the_host_that_baked_it_is_in_it(image: BaseImage) -> None:
    assert {"hostname", "resolv.conf"} & names(image, "/etc") == set()
    assert debugfs(image, "cat /etc/machine-id") == ""
    for emptied in ("/var/log", "/tmp", "/var/lib/apt/lists", "/etc/apt/sources.list.d"):
        assert names(image, emptied) == set(), emptied
    example = debugfs(image, "cat /usr/share/doc/apt/examples/sources.list")
    sources = debugfs(image, "cat /etc/apt/sources.list").splitlines()
    assert len(sources) == 3
    for line in sources:
        assert line in example
        assert line.endswith(" main")


def test_python_is_ready_to_use(artifacts: Artifacts) -> None:
    image = next(image for image in artifacts.images if image.name == "python-3.11")
    assert image.version.startswith("3.11.")
    assert {"python", "python3", "pip", "pip3"} <= names(image, "/usr/bin")
    assert "break-system-packages = true" in debugfs(image, "cat /etc/pip.conf")
    assert "json" in names(image, "/usr/lib/python3.11")
    compiled = names(image, "/usr/lib/python3.11/__pycache__")
    assert "argparse.cpython-311.pyc" in compiled


def test_bytecode_needs_no_check_against_its_source(artifacts: Artifacts, tmp_path: Path) -> None:
    image = next(image for image in artifacts.images if image.name == "python-3.11")
    copy = tmp_path / "argparse.pyc"
    debugfs(image, f"dump /usr/lib/python3.11/__pycache__/argparse.cpython-311.pyc {copy}")
    assert copy.read_bytes()[4:8] == b"\1\0\0\0"  # by hash, unchecked


def test_the_kernel_boots_without_unpacking_itself(artifacts: Artifacts) -> None:
    assert is_bootable_elf(artifacts.boot.kernel.read_bytes())
    for path in (artifacts.boot.kernel, artifacts.boot.initramfs):
        assert path.stat().st_mode & 0o777 == 0o644
        assert digest(path) == path.name
