"""Where the API is and who is calling: from arguments, the environment, or a profile file.

Order: explicit arguments, then `SCAIGRID_HOST` and `SCAIGRID_API_KEY`, then the profile file named
by `SCAIBUNKER_PROFILE`, else `~/.config/scaibunker/profile.toml` (`XDG_CONFIG_HOME` is honoured).
A profile is TOML (`base_url`, and `api_key` or `api_key_file`), or the `credentials.json` that
`scaibunker dev` writes, of which `identity` picks a key.

A profile's key goes to the profile's own address only: an endpoint from elsewhere never gets it.
This file reads files and a mapping that it is given; the one look at `os.environ` is `resolve`'s
default.
"""

import json
import logging
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from scaibunker.sdk.errors import ConfigurationError

HOST_VARIABLE = "SCAIGRID_HOST"
KEY_VARIABLE = "SCAIGRID_API_KEY"
PROFILE_VARIABLE = "SCAIBUNKER_PROFILE"
DEFAULT_IDENTITY = "user"
MAX_FILE_BYTES = 64 * 1024

_LOG = logging.getLogger("scaibunker.sdk")
_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
_PROFILE_FIELDS = {"base_url", "api_key", "api_key_file"}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for each step of a request; operations that hold the answer add to `read`.

    A bunker that sleeps is woken by whoever uses it, for which the server takes a minute at most.
    """

    connect: float = 10.0
    read: float = 90.0
    write: float = 60.0
    pool: float = 60.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and the key for it. Checked on the way in; the key is in no representation."""

    base_url: str
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_url(self.base_url))
        object.__setattr__(self, "api_key", _checked_key(self.api_key))
        if urlsplit(self.base_url).scheme == "http" and not self.is_local:
            _LOG.warning("%s is not encrypted: the API key travels in the clear", self.base_url)

    @property
    def is_local(self) -> bool:
        """Whether the address is this machine's loopback."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")


def resolve(
    environ: Mapping[str, str] | None = None,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    profile: Path | None = None,
    identity: str | None = None,
) -> Endpoint:
    """Find the endpoint and the key. Raises `ConfigurationError` that names what is missing."""
    environ = os.environ if environ is None else environ
    if profile is None and identity is None:  # what is named outright outranks the environment
        base_url = base_url or environ.get(HOST_VARIABLE)
        api_key = api_key or environ.get(KEY_VARIABLE)
    if base_url and api_key:
        return Endpoint(base_url, api_key)
    path = profile or _profile_path(environ)
    if path is None:
        raise _nothing_found(base_url, api_key)
    found = load_profile(path, identity)
    if api_key:
        return Endpoint(base_url or found.base_url, api_key)
    if base_url and _checked_url(base_url) != found.base_url:
        raise ConfigurationError(
            f"no API key for {base_url}: the profile {path} is for {found.base_url}",
            hint=f"set {KEY_VARIABLE}, or name a profile for this address",
        )
    return found


def load_profile(path: Path, identity: str | None = None) -> Endpoint:
    """Read a profile file (TOML), or a `credentials.json` of `scaibunker dev`."""
    text = _read_text(path)
    if path.suffix == ".json":
        return _from_credentials(path, text, identity or DEFAULT_IDENTITY)
    if identity is not None:
        raise ConfigurationError(
            f"identity {identity!r} needs a credentials.json; {path} has one key only"
        )
    return _from_toml(path, text)


def read_key_file(path: Path) -> str:
    """The key in a file of its own; white space around it is dropped."""
    return _checked_key(_read_text(path).strip())


def _from_toml(path: Path, text: str) -> Endpoint:
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"profile {path} is not TOML: {error}") from None
    if unknown := sorted(set(fields) - _PROFILE_FIELDS):
        raise ConfigurationError(
            f"profile {path}: unknown field {unknown[0]!r}",
            hint=f"known: {', '.join(sorted(_PROFILE_FIELDS))}",
        )
    base_url = _text_field(path, fields, "base_url")
    if ("api_key" in fields) == ("api_key_file" in fields):
        raise ConfigurationError(f"profile {path}: exactly one of api_key and api_key_file")
    if "api_key_file" in fields:
        key_path = path.parent / Path(_text_field(path, fields, "api_key_file")).expanduser()
        return Endpoint(base_url, read_key_file(key_path))
    _warn_if_readable(path)
    return Endpoint(base_url, _text_field(path, fields, "api_key"))


def _from_credentials(path: Path, text: str, identity: str) -> Endpoint:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    keys = fields.get("keys") if isinstance(fields, dict) else None
    if not isinstance(keys, dict):
        raise ConfigurationError(f"{path}: no `keys`; is it a credentials.json of scaibunker dev?")
    if identity not in keys:
        raise ConfigurationError(
            f"{path} has no identity {identity!r}", hint=f"known: {', '.join(sorted(keys))}"
        )
    _warn_if_readable(path)
    return Endpoint(_text_field(path, fields, "base_url"), _text_field(path, keys, identity))


def _text_field(path: Path, fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{path}: `{name}` must be a text and not empty")
    return value


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is longer than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None


def _warn_if_readable(path: Path) -> None:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        _LOG.warning("%s holds an API key and is open to other users; chmod 600 it", path)


def _profile_path(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get(PROFILE_VARIABLE):
        return Path(named).expanduser()
    folder = environ.get("XDG_CONFIG_HOME") or (
        str(Path(environ["HOME"]) / ".config") if environ.get("HOME") else None
    )
    if folder is None:
        return None
    path = Path(folder) / "scaibunker" / "profile.toml"
    return path if path.exists() else None


def _nothing_found(base_url: str | None, api_key: str | None) -> ConfigurationError:
    missing = [name for name, value in (("endpoint", base_url), ("API key", api_key)) if not value]
    return ConfigurationError(
        f"no {' and no '.join(missing)} given",
        hint=f"set {HOST_VARIABLE} and {KEY_VARIABLE}, or write a profile file and name it in "
        f"{PROFILE_VARIABLE}; `scaibunker dev` writes one: DIR/credentials.json",
    )


def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):  # never shown: it may be a key with a stray character
        raise ConfigurationError(
            "the API key is empty, too long, or has spaces or other characters"
        )
    return key


def _checked_url(url: str) -> str:
    if "://" not in url:
        scheme = "http" if _is_loopback(urlsplit(f"//{url}").hostname or "") else "https"
        url = f"{scheme}://{url}"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the endpoint is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("the endpoint must be http://HOST[:PORT] or https://HOST[:PORT]")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError("the endpoint must have no user, no query and no fragment")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
