"""Settings from a TOML file: what wins, and what stops the start."""

from pathlib import Path

import pytest

from scaigrid.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    SettingsError,
    check_file,
    read_section,
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "scaigrid.toml"
    monkeypatch.setenv("SCAIGRID_CONFIG", str(path))
    return path


def test_the_file_sets_what_the_environment_does_not(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[scaigrid.http]\nport = 8123\nhost = "127.0.0.2"\n')
    monkeypatch.setenv("SCAIGRID_HTTP_HOST", "127.0.0.3")
    settings = read_section(HttpSettings)
    assert (settings.port, settings.host, settings.stop_timeout_s) == (8123, "127.0.0.3", 3)
    check_file([HttpSettings])


def test_a_wrong_value_in_the_file_is_named(config: Path) -> None:
    config.write_text("[scaigrid.http]\nport = 70000\n")
    with pytest.raises(SettingsError, match="SCAIGRID_HTTP_PORT") as refusal:
        read_section(HttpSettings)
    assert "70000" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("[scaigrid.http]\nprot = 1\n", r"scaigrid\.http\.prot"),
        ("[scaigird.http]\nport = 1\n", r"scaigird\.http\.port"),
        ("port = 1\n", "setting port"),
        ("[scaigrid]\nhttp = 1\n", r"scaigrid\.http"),
    ],
)
def test_a_name_that_no_section_has_is_refused(config: Path, content: str, name: str) -> None:
    config.write_text(content)
    with pytest.raises(SettingsError, match=name):
        check_file([HttpSettings, DatabaseSettings, AuthSettings])


@pytest.mark.parametrize("content", [b"[", b"\xff", b"#" * (1024 * 1024 + 1)])
def test_a_file_that_is_none_stops_the_start(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    with pytest.raises(SettingsError, match="SCAIGRID_CONFIG"):
        read_section(HttpSettings)


def test_a_file_that_is_not_there_stops_the_start(config: Path) -> None:
    with pytest.raises(SettingsError, match="SCAIGRID_CONFIG: the file cannot be read"):
        read_section(AuthSettings)
