"""A `scaibunker dev` for the tests of a file, and a bunker in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Api, DevStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    stack = DevStack(tmp_path_factory.mktemp("dev") / "data")
    try:
        stack.start()
        yield stack
        assert stack.stop() == 0
        assert stack.leftovers() == []
    finally:
        stack.end()


@pytest.fixture
def private_stack(tmp_path: Path) -> Iterator[DevStack]:
    """A stack that the test starts and stops itself."""
    stack = DevStack(tmp_path / "data")
    try:
        yield stack
    finally:
        stack.end()


@pytest.fixture(scope="module")
def api(stack: DevStack) -> Iterator[Api]:
    with stack.client() as http:
        yield Api(http)


@pytest.fixture(scope="module")
def bunker(api: Api) -> str:
    """One bunker for all tests of a file that do it no harm."""
    return api.create(disk_mb=256)
