"""The model hub: HF_ENDPOINT, and the endpoint in the installed package."""

from collections.abc import Iterator

from scaibunker.worker.network.registries.clients.literals import assigned
from scaibunker.worker.network.registries.host_view import HostView, Named

_DEFAULTS = "huggingface_hub/constants.py"


def named(host: HostView) -> Iterator[Named]:
    if endpoint := host.env.get("HF_ENDPOINT"):
        yield Named(endpoint, "HF_ENDPOINT")
    for path in host.python_file(_DEFAULTS):
        for literal in assigned(host.text(path) or "", "_HF_DEFAULT_ENDPOINT"):
            yield Named(literal, "the installed package")
