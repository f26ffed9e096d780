"""Package clients, each read by a function of its own."""

from collections.abc import Mapping

from scaibunker.worker.network.registries.clients import (
    apk,
    apt,
    cargo,
    golang,
    huggingface,
    maven,
    npm,
    packageurl,
    pip,
    rpm,
    rubygems,
)
from scaibunker.worker.network.registries.host_view import Client

CLIENTS: Mapping[str, Client] = {
    "apk": apk.named,
    "apt": apt.named,
    "cargo": cargo.named,
    "go": golang.named,
    "huggingface": huggingface.named,
    "maven": maven.named,
    "npm": npm.named,
    "packageurl": packageurl.named,
    "pip": pip.named,
    "rpm": rpm.named,
    "rubygems": rubygems.named,
}
