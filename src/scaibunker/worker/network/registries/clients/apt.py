"""apt: the sources of the system, in both of their forms, and lists of mirrors that they name."""

import re
from collections.abc import Iterator
from pathlib import Path

from scaibunker.worker.network.registries.host_view import HostView, Named

_OFF = ("no", "false", "without", "off", "disable", "0")
_MIRRORS = "mirror+file:"
_ONE_LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?(\S+)", re.MULTILINE)


def named(host: HostView) -> Iterator[Named]:
    for path in host.system("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list"):
        for url in _ONE_LINE.findall(host.text(path) or ""):
            yield from _followed(host, url, path)
    for path in host.system("/etc/apt/sources.list.d/*.sources"):
        for url in _deb822(host.text(path) or ""):
            yield from _followed(host, url, path)


def _followed(host: HostView, url: str, path: Path) -> Iterator[Named]:
    if url.startswith(_MIRRORS):
        for mirrors in host.system(url.removeprefix(_MIRRORS)):
            for line in (host.text(mirrors) or "").splitlines():
                if line.strip() and not line.lstrip().startswith("#"):
                    yield from _web(line.split()[0], mirrors)
    else:
        yield from _web(url, path)


def _web(url: str, path: Path) -> Iterator[Named]:
    if not url.startswith(("cdrom:", "file:", "copy:")):
        yield Named(url, str(path))


def _deb822(text: str) -> Iterator[str]:
    """URIs of the stanzas that are in force."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value
        if fields.get("enabled", "yes").strip().lower() not in _OFF:
            yield from fields.get("uris", "").split()
