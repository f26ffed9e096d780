"""Where the endpoint and the key come from, and that the key goes nowhere else."""

import json
import logging
from pathlib import Path

import pytest

from scaibunker.sdk import (
    Client,
    ConfigurationError,
    Endpoint,
    load_profile,
    read_key_file,
    resolve,
)

KEY = "sgk_secret0123456789"


def profile(folder: Path, text: str, name: str = "profile.toml") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def home(folder: Path, text: str) -> dict[str, str]:
    place = folder / ".config" / "scaibunker"
    place.mkdir(parents=True)
    profile(place, text)
    return {"HOME": str(folder)}


def test_environment() -> None:
    environ = {"SCAIGRID_HOST": "http://localhost:8000/", "SCAIGRID_API_KEY": KEY}
    assert resolve(environ) == Endpoint("http://localhost:8000", KEY)
    with Client.from_environment(environ) as client:
        assert client.base_url == "http://localhost:8000"


def test_arguments_come_before_the_environment() -> None:
    environ = {"SCAIGRID_HOST": "http://localhost:1", "SCAIGRID_API_KEY": "sgk_other"}
    found = resolve(environ, base_url="http://localhost:2", api_key=KEY)
    assert found == Endpoint("http://localhost:2", KEY)


def test_profile_file_in_its_usual_place(tmp_path: Path) -> None:
    environ = home(tmp_path, f'base_url = "https://grid.example"\napi_key = "{KEY}"\n')
    assert resolve(environ) == Endpoint("https://grid.example", KEY)
    xdg = {"XDG_CONFIG_HOME": str(tmp_path / ".config"), "HOME": "/nonexistent"}
    assert resolve(xdg) == Endpoint("https://grid.example", KEY)


def test_profile_with_a_key_file_beside_it(tmp_path: Path) -> None:
    profile(tmp_path, f" {KEY}\n", "key")
    path = profile(tmp_path, 'base_url = "https://grid.example"\napi_key_file = "key"\n')
    assert resolve({"SCAIBUNKER_PROFILE": str(path)}).api_key == KEY


def test_credentials_of_dev(tmp_path: Path) -> None:
    content = {"base_url": "http://127.0.0.1:8000", "keys": {"user": KEY, "viewer": "sgk_v"}}
    path = profile(tmp_path, json.dumps(content), "credentials.json")
    assert resolve({"SCAIBUNKER_PROFILE": str(path)}).api_key == KEY
    assert load_profile(path, "viewer").api_key == "sgk_v"
    with pytest.raises(ConfigurationError, match="no identity 'root'") as caught:
        load_profile(path, "root")
    assert caught.value.hint == "known: user, viewer"
    with Client.from_profile(path, identity="viewer") as client:
        assert client.base_url == "http://127.0.0.1:8000"


def test_a_profile_named_outright_outranks_the_environment(tmp_path: Path) -> None:
    path = profile(tmp_path, f'base_url = "https://grid.example"\napi_key = "{KEY}"\n')
    environ = {"SCAIGRID_HOST": "http://localhost:1", "SCAIGRID_API_KEY": "sgk_other"}
    assert resolve(environ, profile=path) == Endpoint("https://grid.example", KEY)


def test_a_profiles_key_goes_to_its_own_address_only(tmp_path: Path) -> None:
    environ = home(tmp_path, f'base_url = "https://grid.example"\napi_key = "{KEY}"\n')
    with pytest.raises(ConfigurationError, match=r"no API key for https://evil\.example") as caught:
        resolve(environ, base_url="https://evil.example")
    assert KEY not in str(caught.value)
    assert resolve(environ, base_url="https://grid.example/").api_key == KEY


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "no endpoint and no API key"),
        ({"SCAIGRID_HOST": "http://localhost"}, "no API key"),
        ({"SCAIGRID_API_KEY": KEY}, "no endpoint"),
    ],
)
def test_what_is_missing_is_named(environ: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigurationError, match=missing) as caught:
        resolve(environ)
    assert "SCAIGRID_HOST" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("base_url = ", "not TOML"),
        ('base_url = "http://localhost"', "exactly one of api_key and api_key_file"),
        (
            f'base_url = "http://localhost"\napi_key = "{KEY}"\napi_key_file = "x"',
            "exactly one of api_key and api_key_file",
        ),
        (f'base_url = 7\napi_key = "{KEY}"', "`base_url` must be a text"),
        (f'url = "http://localhost"\napi_key = "{KEY}"', "unknown field 'url'"),
        ('base_url = "http://localhost"\napi_key_file = "missing"', "cannot read .*missing"),
    ],
)
def test_bad_profiles_say_why_without_the_key(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        load_profile(profile(tmp_path, text))
    assert KEY not in str(caught.value)


def test_a_huge_or_binary_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="longer than"):
        load_profile(profile(tmp_path, "#" * 70_000))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_profile(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("grid.example", "https://grid.example"),
        ("https://grid.example/api/", "https://grid.example/api"),
    ],
)
def test_addresses(given: str, used: str) -> None:
    assert Endpoint(given, KEY).base_url == used


@pytest.mark.parametrize(
    "bad",
    [
        "ftp://grid.example",
        "http://",
        "http://user:pw@grid.example",
        "http://grid.example?x=1",
        "http://grid.example#x",
        "http://grid.example:99999",
        "http://[::1",
    ],
)
def test_bad_addresses(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        Endpoint(bad, KEY)


@pytest.mark.parametrize("bad", ["", "sgk_a\nX-Evil: 1", "sgk_ä", "a b", "x" * 5000])
def test_bad_keys_are_refused_and_never_shown(bad: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint("http://localhost", bad)
    assert not bad or bad not in str(caught.value)


def test_the_key_is_in_no_representation() -> None:
    endpoint = Endpoint("http://localhost", KEY)
    with Client("http://localhost", KEY) as client:
        shown = f"{endpoint!r} {client!r} {client.bunkers!r} {client._transport._http.headers!r}"
    assert KEY not in shown


def test_warns_of_keys_in_the_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = profile(tmp_path, f'base_url = "http://grid.example"\napi_key = "{KEY}"\n')
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_profile(path)
    assert "open to other users" in caplog.text
    assert "not encrypted" in caplog.text
    assert KEY not in caplog.text


def test_key_file(tmp_path: Path) -> None:
    assert read_key_file(profile(tmp_path, f"{KEY}\n", "key")) == KEY
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_key_file(tmp_path / "nothing")
