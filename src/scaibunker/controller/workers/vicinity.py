"""The addresses of the deployment's own hosts, as workers are told them: those of all workers and of the controllers.

Kept in memory from what is read of the fleet anyway; a heartbeat costs one comparison, and what has changed is worked
out once for all workers. Replicas that have read the same rows name the same list alike.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterable
from urllib.parse import urlsplit

import structlog

from scaibunker.wire.worker.vicinity import MAX_ADDRESSES, VicinityChange, digest_of

log = structlog.get_logger(__name__)

LISTS_KEPT = 32
"""Earlier lists that a worker may have and be told the difference to. Most have the last."""

Addresses = frozenset[str]


def addresses_of(url: str, said: Iterable[str]) -> Addresses:
    """Those of a worker: of its URL, if that names no host by name, and those that it says it has. Without those that
    are no other host's to reach: loopback, of a link, of a group."""
    texts = list(said)
    host = urlsplit(url).hostname
    if host is not None:
        texts.append(host)
    found = set()
    for text in texts:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:  # a name: the worker itself says what it stands for
            continue
        nobodys = address.is_loopback or address.is_unspecified
        if not (nobodys or address.is_link_local or address.is_multicast):
            found.add(str(address))
    return frozenset(found)


class Vicinity:
    """`put` and `controllers` say what there is; `change_since` is asked by each heartbeat."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._extra = frozenset(extra)
        self._of_worker: dict[str, Addresses] = {}
        self._count: Counter[str] = Counter(self._extra)
        self._controllers: Addresses | None = None
        self._read = False
        self._stale = True
        self._lists: OrderedDict[str, Addresses] = OrderedDict()
        self._changes: dict[str, VicinityChange] = {}
        self._cut = False

    def put(self, worker_id: str, addresses: Addresses) -> None:
        """These are a worker's."""
        before = self._of_worker.get(worker_id, frozenset())
        self._of_worker[worker_id] = addresses
        self._shift(before, addresses)

    def all_read(self) -> None:
        """Every worker has been put that there was."""
        self._read = True

    def controllers(self, addresses: Iterable[str]) -> None:
        """These are the controllers'."""
        before, self._controllers = self._controllers or frozenset(), frozenset(addresses)
        self._shift(before, self._controllers)

    @property
    def digest(self) -> str:
        """The name of the newest list; empty while it is not known, since a list with gaps would open what is closed."""
        if not self._read or self._controllers is None:
            return ""
        if self._stale:
            self._renew()
        return next(reversed(self._lists))

    def change_since(self, digest: str) -> VicinityChange | None:
        """What a worker must be told that has the list of that name; None if nothing."""
        newest = self.digest
        if digest == newest or not newest:
            return None
        base = digest if digest in self._lists else ""
        if base not in self._changes:
            self._changes[base] = self._difference(base, newest)
        return self._changes[base]

    def _difference(self, base: str, newest: str) -> VicinityChange:
        now = self._lists[newest]
        had = self._lists[base] if base else frozenset()
        # Not validated: each address is in its one form by now, and there may be tens of thousands.
        return VicinityChange.model_construct(
            digest=newest, base=base or None, added=sorted(now - had), removed=sorted(had - now)
        )

    def _shift(self, before: Addresses, now: Addresses) -> None:
        if before == now:
            return
        for address in before - now:
            self._count[address] -= 1
            if not self._count[address]:
                del self._count[address]
        self._count.update(now - before)
        self._stale = True

    def _renew(self) -> None:
        addresses = frozenset(self._count)
        if len(addresses) > MAX_ADDRESSES:
            addresses = frozenset(sorted(addresses)[:MAX_ADDRESSES])
            if not self._cut:
                log.error("more addresses than workers can be told", most=MAX_ADDRESSES)
        self._cut = len(self._count) > MAX_ADDRESSES
        digest = digest_of(addresses)
        self._lists[digest] = addresses
        self._lists.move_to_end(digest)
        while len(self._lists) > LISTS_KEPT:
            self._lists.popitem(last=False)
        self._changes.clear()
        self._stale = False
