"""Of what clients say: names that can be permitted, who named them, and what was left out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.wire.hostnames import normalise
from scaibunker.worker.network.registries.derive import NotAHost, derive, host_of
from scaibunker.worker.network.registries.host_view import Client, HostView, Named
from tests.unit.worker.network.registries.hosts import host


def saying(*urls: str, source: str = "its file") -> Client:
    def named(host: HostView) -> Iterator[Named]:
        for url in urls:
            yield Named(url, source)

    return named


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("https://Pypi.Registry.test./simple", "pypi.registry.test"),
        ("http://user:pass@pypi.registry.test:8080/x?token=y", "pypi.registry.test"),
        ("sparse+https://index.registry.test/", "index.registry.test"),
        ("mirror+http://deb.registry.test/list", "deb.registry.test"),
        ("mirror://deb.registry.test/list", "deb.registry.test"),
        ("files.registry.test", "files.registry.test"),
        ("https://bücher.registry.test", "xn--bcher-kva.registry.test"),
        ("http://nexus:8081/repository", "nexus"),
    ],
)
def test_a_host_has_one_form(url: str, pattern: str) -> None:
    assert host_of(url) == pattern


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https://127.0.0.1/simple",
        "https://10.0.0.7/simple",
        "https://[::1]/simple",
        "https://[fe80::1%25eth0]/",
        "http://0.0.0.0/",
        "https://2130706433/",
        "https://localhost:3141/",
        "https://pypi.localhost/",
        "ssh://git@registry.test/x",
        "ftp://registry.test/x",
        "git+https://registry.test/x",
        "file:///srv/packages",
        "https://${HOST}/x",
        "https://*.registry.test*/",
        "https://[not/",
        "https://a b/",
        "https://" + "a" * 3000,
    ],
)
def test_what_cannot_be_permitted_is_left_out(url: str) -> None:
    with pytest.raises(NotAHost):
        host_of(url)


@given(st.text(max_size=60))
@settings(deadline=None)
def test_whatever_a_client_says_is_a_plain_pattern_or_left_out(url: str) -> None:
    try:
        pattern = host_of(url)
    except NotAHost:
        return
    assert normalise(pattern) == pattern


def test_each_host_is_named_once_with_all_that_name_it(tmp_path: Path) -> None:
    clients = {
        "one": saying("https://b.registry.test", "https://a.registry.test"),
        "two": saying("http://B.registry.test/x", source="another"),
    }
    hosts = derive(host(tmp_path), clients)
    assert hosts.patterns == ("a.registry.test", "b.registry.test")
    assert hosts.sources["b.registry.test"] == ("one: its file", "two: another")
    assert hosts.notes == ()


def test_credentials_stand_nowhere(tmp_path: Path) -> None:
    urls = [
        "https://me:hunter2@pypi.registry.test/",
        "https://me:hunter2@10.1.2.3/",
        "https://me:hunter2@local host/",
        "ssh://me:hunter2@registry.test",
        "https://me:hunter2@[bad/",
        "hunter2://registry.test",
    ]
    hosts = derive(host(tmp_path), {"pip": saying(*urls[:5])})
    assert hosts.patterns == ("pypi.registry.test",)
    assert len(hosts.notes) == 4
    assert "hunter2" not in repr(hosts)


def test_a_client_that_cannot_be_read_is_noted_and_the_others_count(tmp_path: Path) -> None:
    def broken(host: HostView) -> Iterator[Named]:
        yield Named("https://half.registry.test", "x")
        raise RuntimeError(host)

    hosts = derive(host(tmp_path), {"bad": broken, "good": saying("https://a.registry.test")})
    assert hosts.patterns == ("a.registry.test",)
    assert hosts.notes == ("bad: could not be read",)


def test_the_list_is_bounded_and_says_so(tmp_path: Path) -> None:
    urls = [f"https://h{number:03}.registry.test" for number in range(300)]
    hosts = derive(host(tmp_path), {"many": saying(*urls)})
    assert hosts.patterns == tuple(f"h{number:03}.registry.test" for number in range(256))
    assert hosts.notes == ("44 hosts are over 256",)
