"""The network profiles, seen by those who create bunkers: `scaibunker dev` on the lab's host, the lab as its internet."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import Api, DevStack, error_code
from tests.host.guest_programs import CA, GET
from tests.host.lab import Lab, plan
from tests.host.lab.lab import WORKER_SERVICE
from tests.waiting import wait_until

SHOP, OTHER, PACKAGES = "shop.test", "other.test", "pypi.registry.test"
IMAGE = "python-3.11"

LISTEN = """
import socket
server = socket.create_server(("::", 7000), family=socket.AF_INET6)
print("listens", flush=True)
while True:
    server.accept()[0].sendall(b"from the other bunker")
"""
OWN_ADDRESS = """
import time
while True:
    lines = [line.split() for line in open("/proc/net/if_inet6")]
    found = [words[0] for words in lines if words[5] == "lan0" and words[0].startswith("fe80")]
    if found:
        print(":".join(found[0][i : i + 4] for i in range(0, 32, 4)))
        break
    time.sleep(0.05)
"""
ASK = """
import socket, sys
index = socket.if_nametoindex("lan0")
sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
sock.settimeout(20)
sock.connect((sys.argv[1], 7000, 0, index))
print(sock.recv(100).decode())
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.opened() as lab:
        for name in (SHOP, OTHER, PACKAGES):
            lab.site(name)
        yield lab


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Iterator[DevStack]:
    folder = tmp_path_factory.mktemp("dev")
    pip = folder / "home/.config/pip/pip.conf"
    pip.parent.mkdir(parents=True)
    pip.write_text(f"[global]\nindex-url = https://{PACKAGES}/simple\n")
    stack = DevStack(folder / "data", lab, folder / "home")
    try:
        stack.start()
        yield stack
        assert stack.stop() == 0
        assert stack.leftovers() == []
        assert stack.slots() == []
        assert lab.host.run("nft", "list", "ruleset") == ""
        assert lab.host.ip("-o", "link").count("\n") == 2  # loopback, and the way out
    finally:
        stack.end()


@pytest.fixture(scope="module")
def admin(stack: DevStack) -> Iterator[Api]:
    with stack.client("tenant_admin") as http:
        yield Api(http)


def furnish(api: Api, lab: Lab, bunker: str) -> None:
    for path, content in ((CA, lab.authority.pem), ("/tmp/get.py", GET)):
        answer = api.http.put(f"/bunkers/{bunker}/files?path={path}", content=content.encode())
        assert answer.status_code < 300, answer.text


def get(api: Api, bunker: str, url: str) -> str:
    """`200`, or the name of what went wrong."""
    done = api.exec(bunker, ["python3", "/tmp/get.py", url])
    return str(done["stdout"]).split()[0]


def create(api: Api, profile: str, **fields: Any) -> str:
    return api.create(image=IMAGE, network_profile=profile, **fields)


def test_who_may_have_which_profile(stack: DevStack) -> None:
    bad = {"image": "no-such-image", "memory_mb": 1}
    allowed = {"network_profile": "allowlisted", "network_allowlist": [SHOP]}
    with stack.client("user") as user, stack.client("viewer") as viewer:
        for profile in ("unrestricted", "transit"):
            refused = user.post("/bunkers", json={**bad, "network_profile": profile})
            assert (refused.status_code, error_code(refused)) == (403, "NETWORK_PROFILE_DENIED")
            (fault,) = refused.json()["error"]["details"]
            assert fault["permission"] == f"scaibunker:network:{profile}"
        for body in ({"network_profile": "registry"}, allowed):
            refused = user.post("/bunkers", json={**bad, **body})
            assert error_code(refused) == "VALIDATION_ERROR"
        refused = viewer.post("/bunkers", json={"image": IMAGE, "network_profile": "registry"})
        assert refused.status_code == 403
        for entry in ("https://shop.test", "203.0.113.7", "a.*.test", "**.test"):
            body = {**allowed, "network_allowlist": [SHOP, entry]}
            refused = user.post("/bunkers", json={"image": IMAGE, **body})
            assert (refused.status_code, error_code(refused)) == (422, "NETWORK_ALLOWLIST_INVALID")
            assert refused.json()["error"]["details"][0]["field"] == "network_allowlist.1"


def test_permitted_names_and_no_others(stack: DevStack, lab: Lab, api: Api) -> None:
    bunker = create(api, "allowlisted", network_allowlist=["Shop.TEST."])
    record = api.status(bunker)
    assert (record["network_allowlist"], record["bandwidth_mbit"]) == ([SHOP], 100)
    furnish(api, lab, bunker)
    assert get(api, bunker, f"https://{SHOP}/in-the-audit") == "200"
    assert get(api, bunker, f"http://{SHOP}/") == "200"
    assert get(api, bunker, f"https://{OTHER}/") == "gaierror"
    assert lab.log.hits(name=OTHER) == []

    # A copy of its memory has the same profile, and a list of its own.
    made = api.http.post(f"/bunkers/{bunker}/snapshot", json={"kind": "full"}).json()["data"]

    def ready() -> bool:
        now = api.http.get(f"/snapshots/{made['id']}").json()["data"]
        assert now["status"] != "failed", now
        return bool(now["status"] == "ready")

    wait_until(ready, 90)
    body = {"snapshot_id": made["id"], "network_profile": "registry"}
    refused = api.http.post("/bunkers", json=body)
    assert (refused.status_code, error_code(refused)) == (422, "VALIDATION_ERROR")
    answer = api.http.post(
        "/bunkers?wait=running&timeout_s=100",
        json={"snapshot_id": made["id"], "network_allowlist": [OTHER]},
    )
    copy = answer.json()["data"]
    assert (copy["status"], copy["network_profile"]) == ("running", "allowlisted"), copy
    assert get(api, copy["id"], f"https://{OTHER}/") == "200"
    assert get(api, copy["id"], f"https://{SHOP}/") == "gaierror"
    api.delete(copy["id"])

    # What it did can be read when it is gone.
    api.delete(bunker)

    def flows() -> list[dict[str, Any]]:
        found = []
        names = api.http.get(f"/bunkers/{bunker}/audit-batches").json()["data"]
        for batch in names:
            text = api.http.get(f"/bunkers/{bunker}/audit-batches/{batch['name']}").text
            found += [json.loads(line) for line in text.splitlines()]
        return found

    wait_until(lambda: any(flow.get("host") == SHOP for flow in flows()), 60, flows)


def test_a_command_line_with_a_network(stack: DevStack, lab: Lab) -> None:
    lab.log.clear()
    fetch = f"import urllib.request; print(urllib.request.urlopen('http://{SHOP}/cli').status)"
    options = ["--network", "allowlisted", "--allow", SHOP, "--bandwidth", "50"]
    done = stack.cli("run", *options, IMAGE, "--", "python3", "-c", fetch)
    assert (done.returncode, done.stdout) == (0, b"200\n"), done.stderr
    assert lab.log.hits(name=SHOP, text="GET /cli")
    assert stack.cli("run", "--network", "unrestricted", IMAGE, "--", "true").returncode != 0
    done = stack.cli("run", "--network", "registry", IMAGE, "--", "python3", "-c", fetch)
    assert done.returncode == 1
    fetch = fetch.replace(SHOP, PACKAGES)
    done = stack.cli("run", "--network", "registry", IMAGE, "--", "python3", "-c", fetch)
    assert (done.returncode, done.stdout) == (0, b"200\n"), done.stderr


def test_everything_but_the_worker_and_what_is_around_it(lab: Lab, admin: Api) -> None:
    bunker = create(admin, "unrestricted", bandwidth_mbit=500)
    assert admin.status(bunker)["bandwidth_mbit"] == 500
    furnish(admin, lab, bunker)
    assert get(admin, bunker, f"https://{SHOP}/") == "200"
    assert get(admin, bunker, f"https://{OTHER}/") == "200"
    lab.log.clear()
    for address in (plan.HOST_V4, f"[{plan.HOST_V6}]", "192.0.2.1"):
        url = f"http://{address}:{WORKER_SERVICE}/"
        assert get(admin, bunker, url) != "200", url
    assert get(admin, bunker, f"http://{plan.METADATA_V4}/") != "200"
    assert lab.log.hits() == []
    admin.delete(bunker)


def test_isolated_is_without_a_device(api: Api) -> None:
    bunker = create(api, "isolated", bandwidth_mbit=5)
    assert api.status(bunker)["bandwidth_mbit"] == 5  # it limits nothing
    assert api.exec(bunker, "ls /sys/class/net")["stdout"] == "lo\n"
    api.delete(bunker)


def test_bunkers_on_a_bridge_reach_each_other(admin: Api) -> None:
    (worker,) = admin.http.get("/workers").json()["data"]
    bridge = admin.http.post("/bridges", json={"name": "lan", "worker_id": worker["id"]})
    assert bridge.status_code == 201, bridge.text
    interfaces = [{"if_name": "lan0", "bridge_name": "lan"}]
    first, second = (create(admin, "transit", interfaces=interfaces) for _ in range(2))
    macs = {admin.status(b)["interfaces"][0]["mac"] for b in (first, second)}
    assert len(macs) == 2
    assert admin.exec(first, "ls /sys/class/net")["stdout"] == "lan0\nlo\n"
    answer = admin.http.post(
        f"/bunkers/{first}/exec", json={"command": ["python3", "-c", LISTEN], "detach": True}
    )
    assert answer.status_code < 300, answer.text
    address = str(admin.exec(first, ["python3", "-c", OWN_ADDRESS])["stdout"]).strip()

    def heard() -> bool:
        done = admin.exec(second, ["python3", "-c", ASK, address])
        return bool(done["stdout"] == "from the other bunker\n")

    wait_until(heard, 60)
    for bunker in (first, second):
        admin.delete(bunker)
    assert admin.http.delete(f"/bridges/{bridge.json()['data']['id']}").status_code < 300
