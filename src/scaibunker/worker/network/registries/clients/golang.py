"""Go: the module proxies and the checksum database that `go env` says are in force."""

import re
from collections.abc import Iterator

from scaibunker.worker.network.registries.host_view import HostView, Named

_NOT_HOSTS = ("direct", "off", "")
_SETTINGS = ("GOPROXY", "GOSUMDB")


def named(host: HostView) -> Iterator[Named]:
    said = host.run(["go", "env", *_SETTINGS])
    if said is not None:
        proxies, database = [*said.splitlines(), "", ""][:2]
    else:
        proxies, database = (host.env.get(setting, "") for setting in _SETTINGS)
    for url in re.split(r"[,|]", proxies):
        if url.strip() not in _NOT_HOSTS:
            yield Named(url.strip(), "GOPROXY")
    if database not in _NOT_HOSTS:
        # The name, which may end in a key, and where it is asked if not at that name.
        name, *place = database.split()
        yield Named(place[0] if place else name.partition("+")[0], "GOSUMDB")
