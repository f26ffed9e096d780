"""Which environment variables decide what."""

from pathlib import Path

from scaibunker.artifacts.settings import from_environment


def test_the_cache_directory_in_order_of_precedence() -> None:
    everything = {"SCAIBUNKER_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}
    assert from_environment(everything).cache_dir == Path("/a")
    assert from_environment({"XDG_CACHE_HOME": "/b"}).cache_dir == Path("/b/scaibunker")
    assert from_environment({}).cache_dir == Path.home() / ".cache" / "scaibunker"


def test_an_empty_variable_is_no_variable() -> None:
    assert from_environment({"SCAIBUNKER_CACHE_DIR": ""}) == from_environment({})


def test_paths_are_absolute() -> None:
    settings = from_environment({"SCAIBUNKER_CACHE_DIR": "x", "SCAIBUNKER_KERNEL": "~/vmlinux"})
    assert settings.cache_dir == Path.cwd() / "x"
    assert settings.kernel == Path.home() / "vmlinux"


def test_the_checkout_is_where_the_sources_are() -> None:
    sources = from_environment({}).sources
    assert sources is not None
    assert (sources / "pyproject.toml").is_file()
