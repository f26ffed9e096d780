"""The blocking client is what the generator makes of the asyncio one, to the letter."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.rules.generators import load


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load("generate_sdk_sync")


def test_up_to_date(generator: ModuleType) -> None:
    assert generator.stale_files() == [], "run: python scripts/generate_sdk_sync.py"


def test_nothing_of_asyncio_is_left(generator: ModuleType) -> None:
    for path in generator.TARGET.glob("*.py"):
        text = path.read_text()
        for word in ("async ", "await ", "asyncio", "Async", "acall", "asleep", "aclose"):
            assert word not in text, f"{path.name}: {word!r}"


def test_a_stale_file_is_noticed(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in generator.TARGET.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "client.py").write_text("")
    (tmp_path / "leftover.py").write_text("")
    (tmp_path / "files.py").unlink()
    monkeypatch.setattr(generator, "TARGET", tmp_path)
    assert generator.stale_files() == ["client.py", "files.py", "leftover.py"]
