"""A worker in the lab, with machines of which each profile is probed, and what is seen of it outside."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaibunker.artifacts.manifest import Artifacts
from scaibunker.worker.network import facts
from scaibunker.worker.network.bridges.names import BRIDGE as DEVICE
from scaibunker.worker.network.bridges.names import namespace_of
from scaibunker.worker.network.naming import Names
from tests.host.lab import Lab, Namespace, Sniffer, plan
from tests.host.lab.lab import WORKER_SERVICE
from tests.host.lab.packets import TCP, UDP, Seen, parse
from tests.host.probes.table import Probe, Verdict
from tests.host.worker_process import WorkerProcess

PROGRAM = Path(__file__).with_name("program.py")
IMAGE = "python-3.11"
CA, SCRIPT, INPUT = "/tmp/lab-ca.pem", "/tmp/probe.py", "/tmp/probes.json"
TIME_LIMIT_S = 400
SHOP, PACKAGES, ALIAS, WILD, TUNNEL = (
    "shop.test",
    "pypi.registry.test",
    "alias.test",
    "wild.test",
    "far.test",
)
REBOUND, INSIDE = "rebound.test", "inside.test"
PERMITTED = (ALIAS, f"*.{WILD}", REBOUND, INSIDE)
BRIDGE = "brg_probed"
TRANSIT_MAC = "02:aa:00:00:00:01"


BREACH = """
table inet breach {
  chain mask {
    type nat hook postrouting priority 100;
    ip saddr { 198.18.0.0/15 } masquerade
    ip6 saddr fd5c:a1ba::/32 masquerade
  }
}
"""
"""Nothing but what answers need to find their way back."""


@dataclass(frozen=True)
class Measured:
    """`seen`: something of it was seen outside of the bunker."""

    verdict: Verdict
    result: str
    detail: str
    seen: bool


class Stand:
    """One worker with a bunker beside the one that is probed."""

    def __init__(self, worker: WorkerProcess, lab: Lab) -> None:
        self._worker, self._lab = worker, lab
        self._neighbour: str | None = None
        lab.names.set(PACKAGES, *_addresses(lab, PACKAGES))
        lab.names.set(SHOP, *_addresses(lab, SHOP))
        # Not the same: what an alias has led to is open for a while, and dialled for a client that is slow to speak.
        self._elsewhere = lab.site("elsewhere.test")
        lab.site("aliased.test")
        lab.names.alias(ALIAS, "aliased.test")
        for name in (WILD, f"one.{WILD}", f"two.one.{WILD}"):
            lab.site(name)
        lab.names.set(REBOUND, plan.METADATA_V4, plan.METADATA_V6)
        lab.names.set(INSIDE, "10.99.0.5")

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, folder: Path, artifacts: Artifacts, lab: Lab) -> AsyncIterator["Stand"]:
        registries = folder / "registries"
        registries.write_text("\n".join((PACKAGES, *PERMITTED)) + "\n")
        worker = WorkerProcess(
            folder, artifacts, lab,
            NETWORK_UPSTREAM_RESOLVERS=json.dumps([plan.RESOLVER_V4]),
            NETWORK_REGISTRY_FILE=str(registries),
            NETWORK_POOL_SIZE="0",
            CONTROLLER_URL=f"http://{plan.CONTROLLER_V4}:8000",
        )  # fmt: skip
        worker.data_dir.mkdir()
        # What an earlier daemon was told by the controller.
        told = {"addresses": [plan.PEER_V4, plan.PEER_V6]}
        (worker.data_dir / "vicinity.json").write_text(json.dumps(told))
        await worker.start()
        try:
            yield cls(worker, lab)
        finally:
            await worker.take_down()

    def log(self) -> str:
        """The daemon's."""
        return self._worker.log()

    async def measure(
        self, profile: str, probes: Iterable[Probe], *, breached: bool = False
    ) -> dict[str, Measured]:
        """What becomes of each, by its name. `breached`: with the rules of slot and host taken away."""
        if self._neighbour is None:
            self._neighbour = await self._worker.create(IMAGE, network={"profile": "unrestricted"})
        machine = await self._worker.create(IMAGE, **await self._order(profile))
        try:
            if breached:
                self._breach()
            return await self._measure(machine, profile, list(probes))
        finally:
            await self._worker.call("DELETE", f"/v1/machines/{machine}")
            if profile == "transit":
                await self._worker.call("DELETE", f"/v1/bridges/{BRIDGE}")

    def _breach(self) -> None:
        """Of the newest slot: its packets, forged or not, are routed wherever they want to go."""
        link = self._transfers()[-1][0]
        names = Names.of((self._worker.data_dir / "worker-id").read_text())
        number = names.number_of_link(link)
        assert number is not None
        inside = Namespace(names.namespace(number), there=True)
        inside.run("nft", "-f", "-", stdin=f"flush ruleset\n{BREACH}")
        self._lab.host.run("nft", "-f", "-", stdin=f"flush ruleset\n{BREACH}")
        for namespace, device in ((inside, facts.TAP), (self._lab.host, link)):
            for name in ("all", device):
                namespace.sysctl(**{f"ipv4__conf__{name}__rp_filter": 0})

    async def _order(self, profile: str) -> dict[str, Any]:
        if profile == "isolated":
            return {}
        order: dict[str, Any] = {"profile": profile}
        if profile == "allowlisted":
            order["allowlist"] = [SHOP, *PERMITTED]
        if profile == "transit":
            bridge = {"bridge_id": BRIDGE, "tenant_id": "ten_test", "name": "probed"}
            await self._worker.call("PUT", f"/v1/bridges/{BRIDGE}", json=bridge)
            order["interfaces"] = [{"if_name": "eth0", "bridge_id": BRIDGE, "mac": TRANSIT_MAC}]
        return {"network": order}

    async def _measure(
        self, machine: str, profile: str, probes: list[Probe]
    ) -> dict[str, Measured]:
        mark = secrets.token_hex(3)
        ids = {f"p{number:03d}{mark}": probe for number, probe in enumerate(probes)}
        filled = {}
        for name, probe in ids.items():
            words = self._words(profile, name)
            filled[name] = {key: _filled(value, words) for key, value in probe.arguments.items()}
        orders = [[name, probe.kind, filled[name]] for name, probe in ids.items()]
        await self._put(machine, CA, self._lab.authority.pem)
        await self._put(machine, SCRIPT, PROGRAM.read_text())
        await self._put(machine, INPUT, json.dumps(orders))
        with self._watching(profile) as sniffers:
            code, said = await self._worker.run(
                machine,
                f"PROBE_CA={CA} python3 {SCRIPT} < {INPUT}",
                user="root",
                timeout_s=TIME_LIMIT_S,
            )
            assert code == 0, said
            results = json.loads(said)
            frames = [frame for sniffer in sniffers for frame in sniffer.frames()]
        found = {}
        for name, probe in ids.items():
            result, detail = results[name]
            assert result != "broken", (probe.name, detail)
            seen = self._seen(name, filled[name], frames)
            found[probe.name] = Measured(_verdict(result, seen), result, detail, seen)
        return found

    @contextlib.contextmanager
    def _watching(self, profile: str) -> Iterator[list[Sniffer]]:
        """The host's uplink, the other bunker's link, and the bridge."""
        with contextlib.ExitStack() as stack:
            sniffers = [self._lab.sniff_uplink(), Sniffer(self._lab.host, self._transfers()[0][0])]
            if profile == "transit":
                names = Names.of((self._worker.data_dir / "worker-id").read_text())
                inside = Namespace(namespace_of(names, BRIDGE), there=True)
                inside.batch(
                    "link add ear type veth peer name port\nlink set ear up\n"
                    f"link set port master {DEVICE}\nlink set port up\n"
                )
                stack.callback(inside.ip, "link", "del", "ear")
                sniffers.append(Sniffer(inside, "ear"))
            for sniffer in sniffers:
                stack.enter_context(sniffer)
            yield sniffers

    def _seen(self, name: str, arguments: dict[str, Any], frames: list[bytes]) -> bool:
        """Outside of the bunker: what it carries, or anything for where it was sent, if nobody else sends there."""
        mark = name.encode()
        if any(mark in frame for frame in frames):
            return True
        if any(name in hit.name or name in hit.text for hit in self._lab.log.hits()):
            return True
        to, port = (
            arguments.get("to"),
            arguments.get("port") or (443 if arguments.get("tls") else 80),
        )
        return any(_is_for(parse(frame), to, port) for frame in frames)

    def _words(self, profile: str, name: str) -> dict[str, str]:
        site = self._lab.site(f"{name}.site.test")
        neighbour, own = self._transfers()[0], self._transfers()[-1]
        permitted = PACKAGES if profile == "registry" else SHOP
        other = SHOP if profile == "registry" else PACKAGES
        return {
            "id": name, "site": site.v4, "site6": site.v6, "permitted": permitted, "other": other,
            "other4": self._elsewhere.v4, "alias": ALIAS, "wild": WILD, "tunnel": TUNNEL,
            "rebound": REBOUND, "inside": INSIDE, "intranet": "10.99.0.9",
            "gateway": str(facts.GATEWAY_V4), "gateway6": str(facts.GATEWAY_V6), "gateway_mac": facts.GATEWAY_MAC,
            "guest": str(facts.GUEST_V4.ip), "guest6": str(facts.GUEST_V6.ip),
            "dns": plan.OTHER_DNS_V4, "dns6": plan.OTHER_DNS_V6, "upstream": plan.RESOLVER_V4,
            "metadata": plan.METADATA_V4, "metadata6": plan.METADATA_V6, "host": plan.HOST_V4, "host6": plan.HOST_V6,
            "controller": plan.CONTROLLER_V4, "peer": plan.PEER_V4, "peer6": plan.PEER_V6,
            "host_port": str(WORKER_SERVICE), "worker_port": str(self._worker.port),
            "transfer": own[1], "neighbour": _next(neighbour[1]), "neighbour6": _next(neighbour[2]),
        }  # fmt: skip

    def _transfers(self) -> list[tuple[str, str, str]]:
        """The host's end of each slot's link: its name and addresses, in order."""
        found: dict[str, dict[str, str]] = {}
        for entry in json.loads(self._lab.host.ip("-j", "address")):
            if entry["ifname"].startswith("sbk"):
                given = {
                    a["family"]: a["local"] for a in entry["addr_info"] if a["scope"] == "global"
                }
                found[entry["ifname"]] = given
        links = [(name, a["inet"], a["inet6"]) for name, a in found.items()]
        return sorted(links, key=lambda link: int(link[1].rsplit(".", 1)[1]))

    async def _put(self, machine: str, path: str, content: str) -> None:
        async with await self._worker.request(
            "PUT", f"/v1/machines/{machine}/files?path={path}&user=root", data=content.encode()
        ) as response:
            assert response.status < 300, await response.text()


def _is_for(seen: Seen, to: str | None, port: int) -> bool:
    """By its port, too: the host itself speaks to some of the addresses."""
    return seen.destination == to and seen.protocol in (TCP, UDP) and seen.ports[1] == port


def _addresses(lab: Lab, name: str) -> tuple[str, str]:
    site = lab.site(name)
    return site.v4, site.v6


def _next(address: str) -> str:
    """The slot's end: one above the host's."""
    separator = ":" if ":" in address else "."
    head, tail = address.rsplit(separator, 1)
    return (
        f"{head}{separator}{int(tail, 16) + 1:x}" if separator == ":" else f"{head}.{int(tail) + 1}"
    )


def _filled(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(each, words) for each in value]
    if not isinstance(value, str):
        return value
    for word, text in words.items():
        value = value.replace("{" + word + "}", text)
    return int(value) if value.isdigit() and len(value) <= 5 else value


def _verdict(result: str, seen: bool) -> Verdict:
    if result == "no way":
        return Verdict.NO_WAY
    if result == "answer" or seen:
        return Verdict.PASSES
    return Verdict.REFUSED if result == "refused" else Verdict.SILENT
