"""The operator's file, and what becomes of it while the worker runs."""

from pathlib import Path

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.registries.current import Registries
from scaibunker.worker.network.registries.operators_file import RegistryFileInvalid, read

GOOD = """# what we permit
pypi.registry.test
*.Files.Registry.Test.   # a wildcard

  npm.registry.test
npm.registry.test
"""
PATTERNS = ("*.files.registry.test", "npm.registry.test", "pypi.registry.test")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "registries"
    path.write_text(GOOD)
    return path


def test_it_is_read_with_its_name_as_the_source(file: Path) -> None:
    hosts = read(file)
    assert hosts.patterns == PATTERNS
    assert set(hosts.sources.values()) == {(str(file),)}


@pytest.mark.parametrize(
    "entry", ["https://pypi.registry.test", "10.0.0.1", "a.*.test", "**.test", "a_b.test", "a b"]
)
def test_an_error_names_the_line(file: Path, entry: str) -> None:
    file.write_text(f"pypi.registry.test\n\n{entry}\n")
    with pytest.raises(RegistryFileInvalid) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}, line 3: ")


def test_more_hosts_than_are_possible_are_refused_by_the_line(file: Path) -> None:
    file.write_text("\n".join(f"h{number}.registry.test" for number in range(257)))
    with pytest.raises(RegistryFileInvalid, match=r"line 257: 256 hosts"):
        read(file)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (1024 * 1024 + 1)])
def test_what_is_no_list_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(RegistryFileInvalid):
        read(file)


async def test_a_worker_does_not_start_without_its_file(file: Path) -> None:
    file.unlink()
    with pytest.raises(WorkerFault, match=str(file)):
        await Registries.open(file)


async def test_it_is_read_again_when_it_changes(file: Path) -> None:
    registries = await Registries.open(file)
    assert registries.hosts.patterns == PATTERNS
    assert not await registries.look()
    file.write_text("pypi.registry.test\nadded.registry.test")
    assert await registries.look()
    assert registries.hosts.patterns == ("added.registry.test", "pypi.registry.test")
    assert not await registries.look()


@pytest.mark.parametrize("spoilt", ["a b c\n", None])
async def test_a_file_that_is_spoilt_changes_nothing(file: Path, spoilt: str | None) -> None:
    registries = await Registries.open(file)
    if spoilt is None:
        file.unlink()
    else:
        file.write_text(spoilt)
    assert not await registries.look()
    assert registries.hosts.patterns == PATTERNS
    file.write_text("mended.registry.test")
    assert await registries.look()
    assert registries.hosts.patterns == ("mended.registry.test",)


async def test_a_change_of_comments_is_none(file: Path) -> None:
    registries = await Registries.open(file)
    file.write_text(GOOD + "# and no more")
    assert not await registries.look()


async def test_an_empty_file_permits_nothing(file: Path) -> None:
    file.write_text("# nothing\n")
    assert (await Registries.open(file)).hosts.patterns == ()
