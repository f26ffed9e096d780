"""`python -m scaibunker.artifacts`, as a person or the Makefile calls it."""

from pathlib import Path

import pytest

from scaibunker.artifacts.__main__ import main


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIBUNKER_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("arguments", [["show"], ["bake", "none.tar", "--name", "mine"]])
def test_without_artifacts_it_fails_and_says_what_to_run(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "make setup" in said.err


@pytest.mark.parametrize(
    "arguments", [[], ["bake", "x.tar"], ["bake", "x", "--name", "a", "--max-mib", "0"]]
)
def test_wrong_usage_has_its_own_status(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
