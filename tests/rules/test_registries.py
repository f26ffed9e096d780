"""No package registry has a name in the source, the tests or the documents: which there are, is data of the deployment."""

import subprocess
from pathlib import Path

import pytest

from scaibunker.worker.network.registries.clients import CLIENTS
from scaibunker.worker.network.registries.derive import derive
from scaibunker.worker.network.registries.host_view import this_host

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("packageurl", "pip")
"""What these have stands in packages, and is the same on every host. Of the others a host may call anything its registry."""


@pytest.fixture(scope="module")
def registries() -> tuple[str, ...]:
    return derive(this_host(), {name: CLIENTS[name] for name in LIBRARIES}).patterns


def test_libraries_name_registries(registries: tuple[str, ...]) -> None:
    assert len(registries) >= 5


def test_no_file_names_a_registry(registries: tuple[str, ...]) -> None:
    wanted = [part for host in registries for part in ("-e", host)]
    argv = ["git", "grep", "--word-regexp", "--fixed-strings", "-l", *wanted]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.split() == []
