"""Settings from a TOML file, for deployments that keep them in one place.

`SCAIGRID_CONFIG` names the file. The variable `SCAIGRID_HTTP_PORT` is `port` in the table
`[scaigrid.http]`: a section's prefix in lower case, split at each underscore. A variable that is
set wins over the file.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from scaigrid.settings.errors import SettingsError

CONFIG = "SCAIGRID_CONFIG"
LIMIT = 1024 * 1024
"""Bytes of a file at most."""


def table_of(section: type[BaseSettings]) -> tuple[str, ...]:
    """Where a section's settings are in the file: the names of the nested tables."""
    prefix = section.model_config.get("env_prefix", "")
    return tuple(part for part in prefix.lower().split("_") if part)


def values_of(section: type[BaseSettings]) -> dict[str, Any]:
    """What the file says for a section; empty without a file. Raises SettingsError."""
    found: Any = _load()
    for name in table_of(section):
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    if not isinstance(found, Mapping):
        return {}
    return {name: found[name] for name in section.model_fields if name in found}


def check_file(sections: Iterable[type[BaseSettings]]) -> None:
    """Raise SettingsError for each name in the file that no section has: a slip of the pen must
    not leave a setting at its default."""
    known = {(*table_of(section), field) for section in sections for field in section.model_fields}
    unknown = sorted(
        ".".join(path)
        for path in _leaves(_load())
        if not any(path[: len(setting)] == setting for setting in known)
    )
    if unknown:
        raise SettingsError("; ".join(f"{CONFIG}: there is no setting {name}" for name in unknown))


def _leaves(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)


def _load() -> dict[str, Any]:
    path = os.environ.get(CONFIG)
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise SettingsError(f"{CONFIG}: the file is larger than {LIMIT} bytes")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise SettingsError(f"{CONFIG}: the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{CONFIG}: the file is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        # The parser's message has the place, and a character or a key at most: never a value.
        raise SettingsError(f"{CONFIG}: the file is not TOML: {error}") from None
