"""Real worker daemons and real microVMs for tests, and a look at what they leave on the host."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scaibunker.artifacts.manifest import Artifacts, ArtifactsMissing, load
from tests.host.bench import Bench
from tests.host.flows import BUNKER
from tests.host.lab import Lab
from tests.host.worker_process import WorkerProcess


@pytest.fixture(scope="session")
def artifacts() -> Artifacts:
    try:
        return load()
    except ArtifactsMissing as error:
        pytest.skip(str(error))


@pytest.fixture
async def worker(tmp_path: Path, artifacts: Artifacts) -> AsyncIterator[WorkerProcess]:
    """A running daemon; its machines are taken down and its host is checked for leftovers at the end."""
    process = WorkerProcess(tmp_path, artifacts)
    await process.start()
    try:
        yield process
    finally:
        await process.take_down()
    assert process.leftovers() == []


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An internet of the test's own, and a namespace that plays the worker's host."""
    with Lab.opened() as lab:
        yield lab


@pytest.fixture
async def bench(tmp_path: Path, artifacts: Artifacts) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, artifacts)
    try:
        yield bench
    finally:
        await bench.close()


@pytest.fixture
def records_folder(tmp_path: Path) -> Path:
    """Of one machine's records of flows; what is beside it counts as other machines'."""
    made = tmp_path / "spools" / BUNKER
    made.mkdir(parents=True)
    return made
