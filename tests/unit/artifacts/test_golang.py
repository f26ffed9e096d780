"""Which compiler is new enough, and what makes a binary stale."""

from pathlib import Path

import pytest

from scaibunker.artifacts.golang import hash_sources, is_recent


@pytest.mark.parametrize(
    ("version", "recent"),
    [("go1.24", True), ("go1.24.1", True), ("go1.100rc1", True), ("go2.0", True),
     ("go1.23.9", False), ("go1.9", False), ("", False), ("devel", False)],
)  # fmt: skip
def test_recent(version: str, recent: bool) -> None:
    assert is_recent(version) is recent


def test_the_hash_follows_sources_and_not_tests(tmp_path: Path) -> None:
    (tmp_path / "cmd").mkdir()
    (tmp_path / "cmd" / "main.go").write_text("package main")
    (tmp_path / "go.mod").write_text("module x")
    before = hash_sources(tmp_path)
    (tmp_path / "cmd" / "main_test.go").write_text("package main")
    (tmp_path / "README.md").write_text("text")
    assert hash_sources(tmp_path) == before
    (tmp_path / "cmd" / "main.go").write_text("package main // changed")
    changed = hash_sources(tmp_path)
    (tmp_path / "cmd" / "main.go").rename(tmp_path / "main.go")
    assert len({before, changed, hash_sources(tmp_path)}) == 3
