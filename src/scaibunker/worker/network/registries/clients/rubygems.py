"""RubyGems and Bundler: their configuration, and the sources that `gem` says are in force."""

import re
from collections.abc import Iterator

from scaibunker.worker.network.registries.host_view import HostView, Named

_URL = re.compile(r"https?://[^\s\"']+")
_FILES = ("/etc/gemrc", "/usr/local/etc/gemrc")


def named(host: HostView) -> Iterator[Named]:
    for path in (*host.system(*_FILES), host.home / ".gemrc", host.home / ".bundle/config"):
        for line in (host.text(path) or "").splitlines():
            # Keys of Bundler name what is replaced, values what it is replaced by.
            value = line.partition(": ")[2] if line.startswith("BUNDLE_") else line
            for url in _URL.findall(value.partition("#")[0]):
                yield Named(url, str(path))
    for line in (host.run(["gem", "sources", "--list"]) or "").splitlines():
        if _URL.fullmatch(line.strip()):
            yield Named(line.strip(), "gem sources")
