"""What each package client says of where it has packages from."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scaibunker.worker.network.registries.clients import CLIENTS
from scaibunker.worker.network.registries.derive import derive
from scaibunker.worker.network.registries.host_view import this_host
from tests.unit.worker.network.registries.hosts import host


def found(
    client: str,
    root: Path,
    files: Mapping[str, str | bytes] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    tools: Mapping[str, str] | None = None,
) -> set[str]:
    view = host(root, files, env=env, tools=tools)
    return set(derive(view, {client: CLIENTS[client]}).patterns)


@pytest.mark.parametrize("client", sorted(set(CLIENTS) - {"packageurl"}))
def test_a_host_without_clients_names_nothing(client: str, tmp_path: Path) -> None:
    assert found(client, tmp_path) == set()


PIP_CONF = """
[global]
index-url = https://user:secret@pypi.registry.test/simple
[install]
extra-index-url =
    https://extra.registry.test/simple
    https://more.registry.test:8443/simple
find-links = /opt/wheels
"""
PIP_DEFAULTS = """
class PackageIndex: ...
PyPI = PackageIndex("https://index.registry.test/", file_storage_domain="files.registry.test")
Other = PackageIndex("https://other.registry.test/", file_storage_domain="x.registry.test")
"""


def test_pip(tmp_path: Path) -> None:
    files = {
        "/etc/pip.conf": PIP_CONF,
        "/root/.config/pip/pip.conf": "[global]\nindex_url = https://own.registry.test/",
        "/usr/lib/python3/dist-packages/pip/_internal/models/index.py": PIP_DEFAULTS,
        "/named.conf": "[global]\nindex-url = https://named.registry.test",
    }
    env = {
        "PIP_INDEX_URL": "https://env.registry.test/simple",
        "PIP_CONFIG_FILE": str(tmp_path / "named.conf"),
    }
    assert found("pip", tmp_path, files, env=env) == {
        "pypi.registry.test",
        "extra.registry.test",
        "more.registry.test",
        "own.registry.test",
        "named.registry.test",
        "env.registry.test",
        "index.registry.test",
        "files.registry.test",
    }


def test_the_installed_pip_names_its_index_and_where_files_are(tmp_path: Path) -> None:
    installed = replace(host(tmp_path), packages=this_host().packages)
    assert len(derive(installed, {"pip": CLIENTS["pip"]}).patterns) >= 2


def test_npm(tmp_path: Path) -> None:
    files = {
        "/root/.npmrc": "registry=https://npm.registry.test/\n//npm.registry.test/:_authToken=s\n"
        "@scope:registry = 'https://scope.registry.test/'\n; registry=https://not.registry.test\n",
        "/etc/npmrc": "fund=false\nregistry = https://system.registry.test",
    }
    env = {"NPM_CONFIG_REGISTRY": "https://env.registry.test/"}
    tools = {"npm config get registry": "https://said.registry.test/\n"}
    assert found("npm", tmp_path, files, env=env, tools=tools) == {
        "npm.registry.test",
        "scope.registry.test",
        "system.registry.test",
        "env.registry.test",
        "said.registry.test",
    }


CARGO = """
[source.crates-io]
replace-with = "mirror"
[source.mirror]
registry = "sparse+https://index.registry.test/"
[source.local]
directory = "/vendor"
[registries.own]
index = "https://git.registry.test/index"
[registries.ssh]
index = "ssh://git@ssh.registry.test/index"
"""


def test_cargo(tmp_path: Path) -> None:
    kept = "/root/.cargo/registry/index"
    files: dict[str, str | bytes] = {
        "/root/.cargo/config.toml": CARGO,
        f"{kept}/used.registry.test-0123456789abcdef/config.json": (
            '{"dl": "https://static.registry.test/crates/{crate}", "api": "https://api.registry.test"}'
        ),
        "/toolchain/bin/cargo": b"\x7fELF\0sparse+https://built.registry.test/\0" + bytes(4096),
    }
    tools = {"rustc --print sysroot": f"{tmp_path}/toolchain\n"}
    env = {"CARGO_REGISTRIES_MINE_INDEX": "sparse+https://env.registry.test/"}
    assert found("cargo", tmp_path, files, env=env, tools=tools) == {
        "index.registry.test",
        "git.registry.test",
        "used.registry.test",
        "static.registry.test",
        "api.registry.test",
        "built.registry.test",
        "env.registry.test",
    }


@pytest.mark.parametrize(
    ("said", "hosts"),
    [
        ("https://proxy.registry.test,direct\nsum.registry.test\n", ["proxy", "sum"]),
        ("https://a.registry.test|https://b.registry.test,off\noff\n", ["a", "b"]),
        ("off\nsum.registry.test+abcd1234+AAAA https://at.registry.test\n", ["at"]),
        ("direct\nsum.registry.test+abcd1234+AAAA\n", ["sum"]),
        ("\n", []),
    ],
)
def test_go(said: str, hosts: list[str], tmp_path: Path) -> None:
    tools = {"go env GOPROXY GOSUMDB": said}
    assert found("go", tmp_path, tools=tools) == {f"{name}.registry.test" for name in hosts}


def test_go_without_the_tool(tmp_path: Path) -> None:
    env = {"GOPROXY": "https://env.registry.test"}
    assert found("go", tmp_path, env=env) == {"env.registry.test"}


DEB822 = """
# https://comment.registry.test
Types: deb
URIs: http://deb.registry.test/debian
# http://other.registry.test
 https://second.registry.test/debian
Suites: stable

Types: deb
URIs: https://off.registry.test
Enabled: no

Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
"""


def test_apt(tmp_path: Path) -> None:
    files = {
        "/etc/apt/sources.list": "deb [arch=amd64 signed-by=/k] http://one.registry.test/ x main\n"
        "deb-src http://src.registry.test/ x main\n# deb http://off.registry.test x main\n"
        "deb cdrom:[Disc]/ x main\ndeb file:/srv/repo ./\n",
        "/etc/apt/sources.list.d/debian.sources": DEB822,
        "/etc/apt/sources.list.d/unused.disabled": "deb http://off.registry.test x main",
        "/etc/apt/mirrors/debian.list": "# them\nhttps://mirror.registry.test/debian priority:1\n",
    }
    assert found("apt", tmp_path, files) == {
        "one.registry.test",
        "src.registry.test",
        "deb.registry.test",
        "second.registry.test",
        "mirror.registry.test",
    }


MAVEN = """<?xml version="1.0"?>
<settings xmlns="http://schemas.test/settings">
  <mirrors>
    <mirror><id>m</id><url>https://u:p@mirror.registry.test/m2</url></mirror>
    <mirror><id>b</id><url>http://blocked.registry.test/</url><blocked>true</blocked></mirror>
  </mirrors>
  <profiles><profile>
    <repositories><repository><url>https://repo.registry.test</url></repository></repositories>
    <pluginRepositories><pluginRepository><url>https://plugins.registry.test</url></pluginRepository>
    </pluginRepositories>
  </profile></profiles>
</settings>"""
ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "a">]><x><mirror><url>https://x.registry.test</url></mirror></x>'
)


def test_maven(tmp_path: Path) -> None:
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as archive:
        pom = (
            "<p><repositories><repository><url>https://central.registry.test/m2</url></repository>"
        )
        archive.writestr("org/apache/maven/model/pom-4.0.0.xml", f"{pom}</repositories></p>")
    files: dict[str, str | bytes] = {
        "/root/.m2/settings.xml": MAVEN,
        "/etc/maven/settings.xml": ENTITIES,
        "/usr/share/maven/lib/maven-model-builder-3.x.jar": jar.getvalue(),
    }
    assert found("maven", tmp_path, files) == {
        "mirror.registry.test",
        "repo.registry.test",
        "plugins.registry.test",
        "central.registry.test",
    }


def test_rubygems(tmp_path: Path) -> None:
    files = {
        "/root/.gemrc": "---\n:sources:\n- https://gems.registry.test/\n# - https://no.registry.test\n",
        "/root/.bundle/config": (
            'BUNDLE_MIRROR__HTTPS://REPLACED__TEST/: "https://mirror.registry.test/"\n'
        ),
    }
    tools = {"gem sources --list": "*** CURRENT SOURCES ***\n\nhttps://said.registry.test/\n"}
    assert found("rubygems", tmp_path, files, tools=tools) == {
        "gems.registry.test",
        "mirror.registry.test",
        "said.registry.test",
    }


REPO = """
[base]
baseurl = https://one.registry.test/$releasever, https://two.registry.test/
[mirrors]
mirrorlist = https://list.registry.test/?repo=$basearch
metalink = https://link.registry.test/
[off]
enabled = 0
baseurl = https://off.registry.test/
[local]
baseurl = file:///srv/repo
"""


@pytest.mark.parametrize("folder", ["/etc/yum.repos.d", "/etc/zypp/repos.d", "/etc/dnf/repos.d"])
def test_rpm(folder: str, tmp_path: Path) -> None:
    assert found("rpm", tmp_path, {f"{folder}/x.repo": REPO}) == {
        "one.registry.test",
        "two.registry.test",
        "list.registry.test",
        "link.registry.test",
    }


def test_apk(tmp_path: Path) -> None:
    text = "https://main.registry.test/v3\n@edge https://edge.registry.test/\n/media/cdrom/apks\n"
    files = {"/etc/apk/repositories": f"{text}#https://off.registry.test\n"}
    assert found("apk", tmp_path, files) == {"main.registry.test", "edge.registry.test"}


def test_huggingface(tmp_path: Path) -> None:
    files = {
        "/packages/huggingface_hub/constants.py": "import os\n"
        '_HF_DEFAULT_ENDPOINT = "https://hub.registry.test"\n'
        'ENDPOINT = os.getenv("HF_ENDPOINT", _HF_DEFAULT_ENDPOINT)\n'
    }
    env = {"HF_ENDPOINT": "https://mirror.registry.test"}
    assert found("huggingface", tmp_path, files, env=env) == {
        "hub.registry.test",
        "mirror.registry.test",
    }


def test_packageurl_names_registries_of_languages_that_are_not_on_the_host(tmp_path: Path) -> None:
    named = list(CLIENTS["packageurl"](host(tmp_path)))
    kinds = {each.source for each in named}
    assert kinds == {f"pkg:{kind}" for kind in ("cargo", "gem", "golang", "maven", "npm", "pypi")}
    assert {urlsplit(each.url).scheme for each in named} <= {"http", "https"}


BROKEN = ["\0", "[", "{", "<", "[[[\n", "registry=\n", "deb\n", "URIs:\n", "]" * 10_000]


@pytest.mark.parametrize("content", BROKEN)
def test_broken_files_stop_nobody(content: str, tmp_path: Path) -> None:
    files = dict.fromkeys(
        [
            "/etc/pip.conf",
            "/root/.npmrc",
            "/root/.cargo/config.toml",
            "/root/.cargo/registry/index/x/config.json",
            "/etc/apt/sources.list",
            "/etc/apt/sources.list.d/x.sources",
            "/etc/maven/settings.xml",
            "/usr/share/maven/lib/maven-model-builder-1.jar",
            "/root/.gemrc",
            "/etc/yum.repos.d/x.repo",
            "/etc/apk/repositories",
            "/packages/huggingface_hub/constants.py",
            "/packages/pip/_internal/models/index.py",
        ],
        content,
    )
    clients = {name: client for name, client in CLIENTS.items() if name != "packageurl"}
    assert derive(host(tmp_path, files), clients).patterns == ()
