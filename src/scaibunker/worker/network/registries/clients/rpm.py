"""yum, dnf and zypper: the repositories of the system that are in force."""

import configparser
from collections.abc import Iterator

from scaibunker.worker.network.registries.host_view import HostView, Named

_KEYS = ("baseurl", "mirrorlist", "metalink")
_FILES = ("/etc/yum.repos.d/*.repo", "/etc/dnf/repos.d/*.repo", "/etc/zypp/repos.d/*.repo")
_OFF = ("0", "no", "false", "off")


def named(host: HostView) -> Iterator[Named]:
    for path in host.system(*_FILES):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(host.text(path) or "")
        except configparser.Error:
            continue
        for section in parser.sections():
            if parser.get(section, "enabled", fallback="1").strip().lower() in _OFF:
                continue
            for key in _KEYS:
                for url in parser.get(section, key, fallback="").replace(",", " ").split():
                    if not url.startswith("file:"):
                        yield Named(url, str(path))
