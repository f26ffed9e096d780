"""The registries that package URLs stand for, as the library `packageurl-python` has them.

It knows those of clients that this host has not; a bunker's image may have them.
"""

from collections.abc import Iterator

from packageurl.contrib import purl2url

from scaibunker.worker.network.registries.host_view import HostView, Named

_EXAMPLES = (
    "pkg:cargo/x@1",
    "pkg:gem/x@1",
    "pkg:golang/x/y@1",
    "pkg:maven/x/y@1",
    "pkg:npm/x@1",
    "pkg:pypi/x@1",
)
"""A package of each kind; of which names, does not matter."""


def named(host: HostView) -> Iterator[Named]:  # noqa: ARG001 - it is the same on every host
    for example in _EXAMPLES:
        for url_of in (purl2url.get_repo_url, purl2url.get_download_url):
            url = url_of(example)  # type: ignore[no-untyped-call]
            if isinstance(url, str):
                yield Named(url, example.partition("/")[0])
