"""apk: the repositories of the system."""

from collections.abc import Iterator

from scaibunker.worker.network.registries.host_view import HostView, Named


def named(host: HostView) -> Iterator[Named]:
    for path in host.system("/etc/apk/repositories", "/etc/apk/repositories.d/*.list"):
        for line in (host.text(path) or "").splitlines():
            words = line.partition("#")[0].split()
            # `@tag https://...`; a path is a folder of the host.
            for url in words:
                if "://" in url and not url.startswith("file:"):
                    yield Named(url, str(path))
