"""npm: its configuration, and the registry that it says is in force."""

import re
from collections.abc import Iterator
from pathlib import Path

from scaibunker.worker.network.registries.host_view import HostView, Named

_REGISTRY = re.compile(r"^\s*(?:@[^:\s=]+:)?registry\s*=\s*[\"']?([^\s\"']+)", re.MULTILINE)
_VARIABLE = "npm_config_registry"


def named(host: HostView) -> Iterator[Named]:
    for variable, value in host.env.items():
        if variable.lower() == _VARIABLE:
            yield Named(value, variable)
    for path in _files(host):
        for url in _REGISTRY.findall(host.text(path) or ""):
            yield Named(url, str(path))
    said = (host.run(["npm", "config", "get", "registry"]) or "").strip()
    if said.startswith("http"):
        yield Named(said, "npm config")


def _files(host: HostView) -> Iterator[Path]:
    yield from host.system("/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc")
    yield host.home / ".npmrc"
