"""Objects over HTTP at the controller: streamed, whole or not at all, and for whom they are meant."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scaibunker.storage.capabilities import Signer, derived_key
from tests.integration.simulated_worker import TOKEN
from tests.integration.stack import Knobs, Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until

WORKER = {"Authorization": f"Bearer {TOKEN}"}
LIMIT = 9_000_000


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(
        storage={
            "storage_max_object_bytes": LIMIT,
            "storage_capability_max_lifetime_s": 1800,
            "storage_idle_timeout_s": 2,
        }
    )


async def put(stack: Stack, key: str, content: Any, **headers: str) -> Any:
    return await stack.call(
        "PUT", f"/storage/{key}", None, content=content, headers={**WORKER, **headers}
    )


async def get(stack: Stack, key: str, method: str = "GET", **headers: str) -> Any:
    return await stack.call(method, f"/storage/{key}", None, headers={**WORKER, **headers})


async def mint(stack: Stack, who: str = "tenant_admin", **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = await stack.data_of("POST", "/storage/capabilities", who, json=body)
    return made


def bearing(capability: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {capability['capability']}"}


def files(stack: Stack) -> list[Path]:
    return [path for path in (stack.data / "objects").rglob("*") if path.is_file()]


async def pieces(count: int, size: int = 1_000_000) -> AsyncIterator[bytes]:
    for n in range(count):
        yield bytes([n]) * size


async def test_an_object_comes_and_goes(bare: Stack) -> None:
    content = bytes(range(256)) * 20_000
    response = await put(bare, "a/b.tar", content)
    stored = response.json()["data"]
    digest = hashlib.sha256(content).hexdigest()
    assert response.status_code == 200
    assert (stored["key"], stored["size"], stored["sha256"]) == ("a/b.tar", len(content), digest)

    response = await get(bare, "a/b.tar")
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["content-length"] == str(len(content))
    assert response.headers["content-type"] == "application/octet-stream"
    etag = response.headers["etag"]
    assert etag[0] == etag[-1] == '"'

    response = await get(bare, "a/b.tar", "HEAD")
    assert (response.status_code, response.content) == (200, b"")
    assert (response.headers["content-length"], response.headers["etag"]) == (
        str(len(content)),
        etag,
    )

    assert (await put(bare, "a/b.tar", b"other")).status_code == 200
    response = await get(bare, "a/b.tar")
    assert response.content == b"other"
    assert response.headers["etag"] != etag

    for _ in range(2):
        response = await get(bare, "a/b.tar", "DELETE")
        assert response.json()["data"] == {"key": "a/b.tar", "deleted": True}
    assert error_of(await get(bare, "a/b.tar")) == (404, "OBJECT_NOT_FOUND")
    response = await get(bare, "a/b.tar", "HEAD")
    assert (response.status_code, response.content) == (404, b"")


async def test_an_empty_object(bare: Stack) -> None:
    assert (await put(bare, "none", b"")).json()["data"]["size"] == 0
    response = await get(bare, "none")
    assert (response.status_code, response.content) == (200, b"")
    assert error_of(await get(bare, "none", Range="bytes=0-")) == (416, "RANGE_NOT_SATISFIABLE")


async def test_a_body_of_unknown_length(bare: Stack) -> None:
    assert (await put(bare, "k", pieces(8))).json()["data"]["size"] == 8_000_000
    assert (await get(bare, "k")).content == b"".join([piece async for piece in pieces(8)])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-9", (5, 10)),
        ("bytes=990-", (990, 1000)),
        ("bytes=-3", (997, 1000)),
        ("bytes=-9999", (0, 1000)),
        ("bytes=999-5000", (999, 1000)),
        ("bytes=1000-", None),
        ("bytes=-0", None),
        ("bytes=5-3", "whole"),
        ("bytes=0-1,5-6", "whole"),
        ("lines=1-2", "whole"),
    ],
)
async def test_a_range(bare: Stack, header: str, expected: Any) -> None:
    content = bytes(n % 251 for n in range(1000))
    await put(bare, "k", content)
    response = await get(bare, "k", Range=header)
    if expected is None:
        assert error_of(response) == (416, "RANGE_NOT_SATISFIABLE")
    elif expected == "whole":
        assert (response.status_code, response.content) == (200, content)
    else:
        start, end = expected
        assert (response.status_code, response.content) == (206, content[start:end])
        assert response.headers["content-range"] == f"bytes {start}-{end - 1}/1000"


async def test_a_digest_that_is_given_is_verified(bare: Stack) -> None:
    right = hashlib.sha256(b"content")
    field = f"sha-256=:{base64.b64encode(right.digest()).decode()}:"
    hexadecimal = {"X-Content-SHA256": right.hexdigest()}
    assert (await put(bare, "k", b"content", **hexadecimal)).status_code == 200
    assert (await put(bare, "k", b"content", **{"Content-Digest": field})).status_code == 200
    for body in (b"Content", b"conten", b"", b"c" * 8_500_000):
        for headers in (hexadecimal, {"Content-Digest": field}):
            for key in ("k", "new"):
                response = await put(bare, key, body, **headers)
                assert error_of(response) == (422, "VALIDATION_ERROR")
                assert fields_of(response) == ["X-Content-SHA256"]
    assert (await get(bare, "k")).content == b"content"
    assert error_of(await get(bare, "new")) == (404, "OBJECT_NOT_FOUND")
    assert [path.name for path in files(bare)] == ["k"]
    for name in ("X-Content-SHA256", "Content-Digest"):
        response = await put(bare, "k", b"content", **{name: "what"})
        assert (error_of(response)[0], fields_of(response)) == (422, [name])


async def test_what_is_too_large(bare: Stack) -> None:
    assert (await put(bare, "k", b"x" * LIMIT)).status_code == 200
    for body in (b"x" * (LIMIT + 1), pieces(LIMIT // 1_000_000 + 3)):
        response = await put(bare, "k", body)
        assert error_of(response) == (413, "PAYLOAD_TOO_LARGE")
    assert (await get(bare, "k", "HEAD")).headers["content-length"] == str(LIMIT)
    assert [path.name for path in files(bare)] == ["k"]


@ONE_DATABASE
@pytest.mark.parametrize(
    "key",
    [
        "",
        "a//b",
        "/a",
        "a/",
        "a%2fb",
        "%61",
        "a/%2e%2e/b",
        "a%00",
        "a+b",
        "a:b",
        "a;b",
        "a@b",
        "~a",
        "a%20b",
        "%c3%a4",
        "x" * 201,
        "/".join(["x" * 150] * 7),
        "...",
    ],
)
async def test_what_is_no_key(bare: Stack, key: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        response = await get(bare, key, method)
        assert error_of(response) == (422, "VALIDATION_ERROR"), key
        assert fields_of(response) == ["key"]
    assert (await get(bare, key, "HEAD")).status_code == 422
    assert files(bare) == []


@ONE_DATABASE
@pytest.mark.parametrize("path", ["a/../../../etc/passwd", "./k", "..", "a/./b"])
async def test_dots_as_they_are(bare: Stack, path: str) -> None:
    """A client's library would resolve them; so the request is written by hand."""
    url = bare.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"GET /v1/modules/scaibunker/storage/{path} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b'"field":"key"' in answer.replace(b" ", b"")


async def test_an_upload_that_breaks_off_leaves_what_was(bare: Stack) -> None:
    await put(bare, "k", b"old")
    url = bare.client.base_url
    body = b"y" * 8_700_000  # more than a part, so that there is something to be left
    for head in ("Content-Length: 8900000", "Transfer-Encoding: chunked"):
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            f"PUT /v1/modules/scaibunker/storage/k HTTP/1.1\r\nHost: x\r\n{head}\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        writer.write(body if "Length" in head else b"%x\r\n%b\r\n" % (len(body), body))
        await until(lambda: len(files(bare)) > 1)
        writer.transport.abort()
    await until(lambda: [path.name for path in files(bare)] == ["k"])
    assert (await get(bare, "k")).content == b"old"


async def test_an_upload_that_stands_still_is_given_up(bare: Stack) -> None:
    url = bare.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"PUT /v1/modules/scaibunker/storage/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\nhalf".encode()
    )
    answer = await asyncio.wait_for(reader.read(4096), 60)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert files(bare) == []


async def test_a_capability_opens_its_part_for_what_it_is_for(bare: Stack) -> None:
    space = f"tenants/{bare.keys['tenant_id']}/"
    capability = await mint(
        bare, prefix=f"{space}in/", methods=["PUT", "GET"], max_bytes=1000, expires_in_s=60
    )
    assert (capability["prefix"], capability["max_bytes"]) == (f"{space}in/", 1000)
    bearer = bearing(capability)

    async def call(method: str, key: str, **options: Any) -> Any:
        return await bare.call(method, f"/storage/{key}", None, headers=bearer, **options)

    assert (await call("PUT", f"{space}in/a/b", content=b"x" * 1000)).status_code == 200
    assert (await call("GET", f"{space}in/a/b")).content == b"x" * 1000
    assert (await call("HEAD", f"{space}in/a/b")).status_code == 200
    assert error_of(await call("GET", f"{space}in/nothing")) == (404, "OBJECT_NOT_FOUND")
    denied = (403, "AUTHZ_PERMISSION_DENIED")
    assert error_of(await call("DELETE", f"{space}in/a/b")) == denied
    for key in (
        f"{space}inn/x",
        f"{space}in",
        f"{space}x",
        "tenants/other/in/x",
        "in/x",
        "scaibunker/x",
    ):
        assert error_of(await call("PUT", key, content=b"x")) == denied
        assert error_of(await call("GET", key)) == denied
    for body in (b"x" * 1001, pieces(2)):
        response = await call("PUT", f"{space}in/a/b", content=body)
        assert error_of(response) == (413, "PAYLOAD_TOO_LARGE")
    assert (
        error_of(await call("PUT", f"{space}in/../x", content=b"x")) == denied
    )  # as it is resolved
    assert (await call("GET", f"{space}in/a/b")).content == b"x" * 1000
    for path in ("/bunkers", "/v1/me", "/images"):
        response = await bare.call("GET", path, None, headers=bearer)
        assert error_of(response) == (401, "AUTH_TOKEN_INVALID")
    response = await bare.call("POST", "/heartbeat", None, headers=bearer, json={})
    assert error_of(response) == (401, "SERVICE_TOKEN_INVALID")


async def test_a_capability_is_of_the_tenants_own_part(bare: Stack) -> None:
    own = bare.keys["tenant_id"]
    for who in ("tenant_admin", "stranger"):
        for prefix in (
            "tenants/",
            "x",
            "scaibunker/outputs/",
            f"tenants/{own}",
            f"tenants/{own}x/",
        ):
            response = await bare.call(
                "POST", "/storage/capabilities", who, json={"prefix": prefix, "methods": ["GET"]}
            )
            assert error_of(response) == (403, "AUTHZ_PERMISSION_DENIED")
            assert fields_of(response) == ["prefix"]
    response = await bare.call(
        "POST",
        "/storage/capabilities",
        "stranger",
        json={"prefix": f"tenants/{own}/", "methods": ["GET"]},
    )
    assert error_of(response) == (403, "AUTHZ_PERMISSION_DENIED")
    for who in ("user", "viewer"):
        response = await bare.call(
            "POST",
            "/storage/capabilities",
            who,
            json={"prefix": f"tenants/{own}/", "methods": ["GET"]},
        )
        assert error_of(response) == (403, "AUTHZ_PERMISSION_DENIED")
        assert fields_of(response) == ["permission"]
    everything = await mint(bare, "super_admin", prefix="scaibunker/", methods=["PUT"])
    response = await bare.call(
        "PUT", "/storage/scaibunker/x", None, headers=bearing(everything), content=b"x"
    )
    assert response.status_code == 200


async def test_a_capability_is_refused_that_cannot_be(bare: Stack) -> None:
    own = f"tenants/{bare.keys['tenant_id']}/"
    good = {"prefix": own, "methods": ["GET"]}
    for wrong, field in (
        ({"prefix": f"{own}../"}, "prefix"),
        ({"prefix": f"{own}/x"}, "prefix"),
        ({"prefix": "/"}, "prefix"),
        ({"prefix": ""}, "prefix"),
        ({"methods": []}, "methods"),
        ({"methods": ["POST"]}, "methods.0"),
        ({"max_bytes": -1}, "max_bytes"),
        ({"expires_in_s": 0}, "expires_in_s"),
        ({"expires_in_s": 1801}, "expires_in_s"),
        ({"key": "x"}, "key"),
    ):
        response = await bare.call(
            "POST", "/storage/capabilities", "tenant_admin", json={**good, **wrong}
        )
        assert error_of(response) == (422, "VALIDATION_ERROR"), wrong
        assert fields_of(response) == [field]


async def test_a_capability_ends(bare: Stack) -> None:
    own = f"tenants/{bare.keys['tenant_id']}/"
    bearer = bearing(await mint(bare, prefix=own, methods=["GET"], expires_in_s=1))

    async def is_over() -> bool:
        response = await bare.call("GET", f"/storage/{own}x", None, headers=bearer)
        return error_of(response) == (401, "SERVICE_TOKEN_INVALID")

    await until(is_over)


async def test_a_token_that_is_not_ours_opens_nothing(bare: Stack) -> None:
    own = f"tenants/{bare.keys['tenant_id']}/"
    good = (await mint(bare, prefix=own, methods=["GET"]))["capability"]
    signature = good.rpartition(".")[2]
    for token in (
        "x",
        good[:-1],
        good.replace(signature, signature[::-1]),
        good.partition(".")[2],
        TOKEN[:-1],
        bare.keys["super_admin"],
    ):
        for method in ("GET", "PUT", "DELETE"):
            headers = {"Authorization": f"Bearer {token}"}
            response = await bare.call(method, f"/storage/{own}x", None, headers=headers)
            assert error_of(response) == (401, "SERVICE_TOKEN_INVALID")
    response = await bare.call("GET", f"/storage/{own}x", None)
    assert error_of(response) == (401, "AUTH_TOKEN_MISSING")
    assert Signer([derived_key(TOKEN)], 1800).verify(good, bare.grid.clock.now()).prefix == own


async def test_what_is_done_with_a_capability_is_in_the_tenants_audit_log(bare: Stack) -> None:
    own = f"tenants/{bare.keys['tenant_id']}/"
    capability = await mint(bare, prefix=own, methods=["PUT"])
    await bare.call("PUT", f"/storage/{own}x", None, headers=bearing(capability), content=b"abc")
    listed: list[dict[str, Any]] = []

    async def there() -> bool:
        listed[:] = await bare.data_of("GET", "/v1/audit-log", "tenant_admin")
        return {"put_object", "create_storage_capability"} <= {each["action"] for each in listed}

    await until(there)
    [stored] = [each for each in listed if each["action"] == "put_object"]
    assert stored["details"]["capability"] == capability["id"]
    assert stored["details"]["bytes"] == 3
    [minted] = [each for each in listed if each["action"] == "create_storage_capability"]
    assert minted["details"]["prefix"] == own
    assert capability["capability"] not in str(listed)
