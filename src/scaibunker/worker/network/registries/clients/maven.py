"""Maven: mirrors and repositories of its settings, and the repository in the installed model."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from scaibunker.worker.network.registries.host_view import MAX_FILE_BYTES, HostView, Named

_PARENTS = ("mirror", "repository", "pluginRepository")
_MODEL = "maven/lib/maven-model-builder-*.jar"
_SUPER_POM = "org/apache/maven/model/pom-4.0.0.xml"


def named(host: HostView) -> Iterator[Named]:
    settings = host.system("/etc/maven/settings.xml", "/usr/share/maven/conf/settings.xml")
    for path in (*settings, host.home / ".m2/settings.xml"):
        for url in _urls(host.text(path) or ""):
            yield Named(url, str(path))
    for path in host.system(f"/usr/share/{_MODEL}", f"/opt/{_MODEL}", f"/usr/local/{_MODEL}"):
        for url in _urls(_super_pom(path)):
            yield Named(url, "the installed program")


def _urls(text: str) -> Iterator[str]:
    if not text or "<!DOCTYPE" in text or "<!ENTITY" in text:  # it has no need of either
        return
    try:
        tree = ElementTree.fromstring(text)  # noqa: S314 - without entities, and of the operator
    except ElementTree.ParseError:
        return
    for element in tree.iter():
        if _name(element) in _PARENTS and _child(element, "blocked") != "true":
            url = _child(element, "url")
            if url:
                yield url


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _child(element: ElementTree.Element, name: str) -> str:
    return next(((each.text or "").strip() for each in element if _name(each) == name), "")


def _super_pom(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as jar, jar.open(_SUPER_POM) as file:
            return file.read(MAX_FILE_BYTES).decode(errors="replace")
    except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return ""
