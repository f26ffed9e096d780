"""pip: its configuration, and the index and file host that stand in the installed package."""

import configparser
import os
from collections.abc import Iterator
from pathlib import Path

from scaibunker.worker.network.registries.clients.literals import assigned
from scaibunker.worker.network.registries.host_view import HostView, Named

_OPTIONS = ("index-url", "extra-index-url", "find-links")
_DEFAULTS = "pip/_internal/models/index.py"


def named(host: HostView) -> Iterator[Named]:
    for option in _OPTIONS:
        variable = "PIP_" + option.upper().replace("-", "_")
        for url in _web(host.env.get(variable, "")):
            yield Named(url, variable)
    for path in _files(host):
        text = host.text(path)
        if text is not None:
            yield from _configured(text, str(path))
    for path in host.python_file(_DEFAULTS):
        for literal in assigned(host.text(path) or "", "PyPI"):
            yield Named(literal, "the installed package")


def _files(host: HostView) -> Iterator[Path]:
    own = Path(host.env.get("XDG_CONFIG_HOME") or host.home / ".config")
    yield from host.system("/etc/xdg/pip/pip.conf", "/etc/pip.conf")
    yield from (own / "pip/pip.conf", host.home / ".pip/pip.conf")
    if (other := host.env.get("PIP_CONFIG_FILE")) and other != os.devnull:
        yield Path(other)


def _configured(text: str, source: str) -> Iterator[Named]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    for section in parser.sections():
        for option in _OPTIONS:
            for name in (option, option.replace("-", "_")):
                for url in _web(parser.get(section, name, fallback="")):
                    yield Named(url, source)


def _web(value: str) -> list[str]:
    """Of several with spaces between them; folders of the host are none."""
    return [url for url in value.split() if "://" in url and not url.startswith("file:")]
