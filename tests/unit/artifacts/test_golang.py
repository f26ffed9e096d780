"""Which compiler is new enough, and what makes a binary stale."""

from pathlib import Path

import pytest

from scaibunker.artifacts.golang import find_compiler, hash_sources, is_recent
from scaibunker.artifacts.records import ArtifactsError


@pytest.mark.parametrize(
    ("version", "minimum", "recent"),
    [
        ("go1.24", "go1.24.0", True),
        ("go1.24.1", "go1.24", True),
        ("go1.100rc1", "go1.99.9", True),
        ("go2.0", "go1.26.0", True),
        ("go1.26.1", "go1.26.2", False),
        ("go1.9", "go1.24", False),
        ("", "go1.24", False),
        ("devel", "go1.24", False),
    ],
)
def test_recent(version: str, minimum: str, recent: bool) -> None:
    assert is_recent(version, minimum) is recent


def test_an_old_compiler_is_named_with_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.999\n")
    compiler = tmp_path / "go"
    compiler.write_text("#!/bin/sh\necho go1.19.8\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArtifactsError, match=r"go1.999 or later.*go1.19.8.*make setup"):
        find_compiler(tmp_path)


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
