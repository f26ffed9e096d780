"""cargo: its configuration, what it has kept of registries' own configuration, and the index built into it.

Where an index has its files from stands in the index's `config.json` alone: it is known here once cargo was used on
this host, or from the operator.
"""

import json
import mmap
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaibunker.worker.network.registries.host_view import HostView, Named

MAX_BINARY_BYTES = 256 * 1024 * 1024
_BUILT_IN = re.compile(rb"sparse\+(https://[A-Za-z0-9.-]{1,253})/")
_KEPT = re.compile(r"(.+)-[0-9a-f]{16}")
_INDEX = re.compile(r"CARGO_REGISTRIES_[A-Z0-9_]+_INDEX|RUSTUP_DIST_SERVER")


def named(host: HostView) -> Iterator[Named]:
    for variable, value in host.env.items():
        if _INDEX.fullmatch(variable):
            yield Named(value, variable)
    home = Path(host.env.get("CARGO_HOME") or host.home / ".cargo")
    for path in (home / "config.toml", home / "config"):
        for url in _configured(host.text(path) or ""):
            yield Named(url, str(path))
    yield from _kept(host, home / "registry/index")
    yield from _built_in(host)


def _configured(text: str) -> Iterator[str]:
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for table, key in (("source", "registry"), ("registries", "index")):
        for entry in _table(config.get(table)).values():
            url = _table(entry).get(key)
            if isinstance(url, str) and "://" in url:
                yield url


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _kept(host: HostView, folder: Path) -> Iterator[Named]:
    if not folder.is_dir():
        return
    for index in sorted(folder.iterdir()):
        if match := _KEPT.fullmatch(index.name):
            yield Named(match[1], str(folder))
        try:
            config = _table(json.loads(host.text(index / "config.json") or "{}"))
        except (ValueError, RecursionError):
            continue
        for key in ("dl", "api"):
            if isinstance(url := config.get(key), str):
                yield Named(url.partition("{")[0], str(folder))


def _built_in(host: HostView) -> Iterator[Named]:
    folder = (host.run(["rustc", "--print", "sysroot"]) or "").strip()
    candidates = [Path(folder) / "bin/cargo"] if folder else []
    for path in (*candidates, *host.system("/usr/bin/cargo", "/usr/local/bin/cargo")):
        try:
            if not path.is_file() or not 0 < path.stat().st_size <= MAX_BINARY_BYTES:
                continue
            with (
                path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                found = {match[1].decode() for match in _BUILT_IN.finditer(content)}
        except OSError:
            continue
        for url in sorted(found):
            yield Named(url, "the installed program")
