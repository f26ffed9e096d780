"""Files: streamed through, with the rules of paths and permissions, and logged."""

import asyncio
from typing import Any

import httpx
import pytest
from aiohttp import web
from sqlalchemy import select

from scaibunker.controller.relay.tables import file_operations
from tests.integration.inside import whole
from tests.integration.refusals import never
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import BASE, Knobs, Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until


def files(bunker: str, verb: str = "") -> str:
    return f"/bunkers/{bunker}/files{verb}"


async def put(stack: Stack, bunker: str, path: str, content: Any, **query: str) -> Any:
    return await stack.call("PUT", files(bunker), content=content, params={"path": path, **query})


async def get(stack: Stack, bunker: str, path: str, **options: Any) -> Any:
    return await stack.call("GET", files(bunker), params={"path": path}, **options)


async def test_a_file_is_written_and_read_back(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    content = bytes(range(256)) * 20_000  # 5 MB
    written = await put(stack, bunker, "/home/a b/ü.bin", content, mode="600")
    assert written.status_code == 200
    entry = written.json()["data"]
    assert (entry["path"], entry["size"], entry["mode"]) == (
        "/home/a b/ü.bin",
        len(content),
        "0600",
    )
    read = await get(stack, bunker, "/home/a b/ü.bin")
    assert read.content == content
    assert read.headers["content-length"] == str(len(content))
    assert "x-file-entry" in read.headers


async def test_an_upload_of_unknown_length_arrives(stack: Stack, bunker: str) -> None:
    async def chunks() -> Any:
        for _ in range(50):
            yield b"y" * 10_000

    assert (await put(stack, bunker, "/home/y", chunks())).status_code == 200
    assert (await get(stack, bunker, "/home/y")).content == b"y" * 500_000
    assert (await put(stack, bunker, "/home/empty", b"")).json()["data"]["size"] == 0
    assert (await get(stack, bunker, "/home/empty")).content == b""


async def test_a_file_that_is_replaced_keeps_its_mode(stack: Stack, bunker: str) -> None:
    assert (await put(stack, bunker, "/run.sh", b"1")).json()["data"]["mode"] == "0644"
    await put(stack, bunker, "/run.sh", b"2", mode="755")
    assert (await put(stack, bunker, "/run.sh", b"3")).json()["data"]["mode"] == "0755"


async def test_a_range(stack: Stack, bunker: str) -> None:
    await put(stack, bunker, "/f", b"0123456789")
    part = await get(stack, bunker, "/f", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    beyond = await get(stack, bunker, "/f", headers={"Range": "bytes=10-"})
    assert error_of(beyond) == (416, "RANGE_NOT_SATISFIABLE")
    assert beyond.headers["content-range"] == "bytes */10"


async def test_an_upload_that_breaks_off_leaves_the_old_file(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await put(stack, bunker, "/f", b"old")
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.client.base_url.port or 0)
    writer.write(
        f"PUT {BASE}{files(bunker)}?path=/f HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        f"Authorization: Bearer {stack.keys['user']}\r\n\r\npartial".encode()
    )
    await writer.drain()
    calls = worker.machines[bunker].files.calls
    await until(lambda: [name for name, _ in calls].count("PUT") == 2)
    writer.close()
    await until(lambda: logged_outcomes(stack, "write", 2))
    assert (await get(stack, bunker, "/f")).content == b"old"
    del reader


async def logged_outcomes(stack: Stack, operation: str, count: int) -> bool:
    return len(await log_of(stack, operation)) == count


async def log_of(stack: Stack, operation: str) -> list[Any]:
    query = whole(select(file_operations).where(file_operations.c.operation == operation))
    async with stack.grid.database.read() as db:
        return list(await db.rows(query.order_by(file_operations.c.at)))


async def test_a_download_that_breaks_is_cut_and_not_called_whole(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        assert request.transport is not None
        request.transport.abort()
        return response

    worker.faults[f"GET /v1/machines/{bunker}/files"] = half
    with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
        await get(stack, bunker, "/f")


class TestStandingStill:
    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(file_idle_timeout_s=1)

    async def test_a_worker_that_takes_nothing_is_given_up(
        self, stack: Stack, worker: SimulatedWorker, bunker: str
    ) -> None:
        worker.faults[f"PUT /v1/machines/{bunker}/files"] = never
        worker.faults[f"GET /v1/machines/{bunker}/files"] = half_and_stuck
        response = await put(stack, bunker, "/f", b"x" * 50_000_000)
        assert error_of(response) == (502, "WORKER_UNREACHABLE")
        with pytest.raises(httpx.RemoteProtocolError):
            await get(stack, bunker, "/f")

    async def test_a_caller_that_sends_nothing_is_told(self, stack: Stack, bunker: str) -> None:
        async def pause() -> Any:
            yield b"x"
            await asyncio.sleep(3)
            yield b"y"

        response = await put(stack, bunker, "/f", pause())
        assert error_of(response) == (422, "VALIDATION_ERROR")
        assert fields_of(response) == ["body"]


async def half_and_stuck(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000000"})
    await response.prepare(request)
    await response.write(b"x" * 1000)
    await asyncio.sleep(3600)
    return response


async def test_list_stat_mkdir_move_delete(stack: Stack, bunker: str) -> None:
    for name in ("a", "b", "c/d"):
        await put(stack, bunker, f"/home/{name}", b"1")
    made = await stack.data_of(
        "POST", files(bunker, "/mkdir"), json={"path": "/home/new", "mode": "0700"}
    )
    assert (made["type"], made["mode"]) == ("directory", "0700")
    listed = await stack.data_of("GET", files(bunker, "/list"), params={"path": "/home"})
    assert [e["name"] for e in listed] == ["a", "b", "c", "new"]
    deep = await stack.call(
        "GET", files(bunker, "/list"), params={"path": "/home", "recursive": "true", "limit": 3}
    )
    body = deep.json()
    assert [e["path"] for e in body["data"]] == ["/home/a", "/home/b", "/home/c"]
    assert body["has_more"] is True
    rest = await stack.call(
        "GET",
        files(bunker, "/list"),
        params={"path": "/home", "recursive": "true", "cursor": body["next_cursor"]},
    )
    assert [e["path"] for e in rest.json()["data"]] == ["/home/c/d", "/home/new"]
    move = {"source": "/home/a", "destination": "/home/z"}
    assert (await stack.data_of("POST", files(bunker, "/move"), json=move))["path"] == "/home/z"
    stat = await stack.data_of("GET", files(bunker, "/stat"), params={"path": "/home/z"})
    assert stat["size"] == 1
    gone = await stack.data_of("DELETE", files(bunker), params={"path": "/home/z"})
    assert gone == {"path": "/home/z", "deleted": True}
    missing = await stack.call("DELETE", files(bunker), params={"path": "/home/z"})
    assert error_of(missing) == (404, "FILE_NOT_FOUND")
    full = await stack.call("DELETE", files(bunker), params={"path": "/home/c"})
    assert error_of(full) == (409, "FILE_IS_DIRECTORY")
    await stack.data_of("DELETE", files(bunker), params={"path": "/home/c", "recursive": "true"})


BAD_PATHS = ["relative", "", "/a/../b", "/..", "/a\0b", "/" + "x" * 256, "/x" * 2048 + "y"]


async def attempt(stack: Stack, bunker: str, verb: str, path: str) -> Any:
    match verb:
        case "read":
            return await get(stack, bunker, path)
        case "write":
            return await put(stack, bunker, path, b"x")
        case "delete":
            return await stack.call("DELETE", files(bunker), params={"path": path})
        case "mkdir":
            return await stack.call("POST", files(bunker, "/mkdir"), json={"path": path})
        case "move":
            body = {"source": "/ok", "destination": path}
            return await stack.call("POST", files(bunker, "/move"), json=body)
    return await stack.call("GET", files(bunker, f"/{verb}"), params={"path": path})


@ONE_DATABASE
@pytest.mark.parametrize("verb", ["read", "write", "delete", "list", "stat", "mkdir", "move"])
async def test_bad_paths_are_refused(
    stack: Stack, worker: SimulatedWorker, bunker: str, verb: str
) -> None:
    for path in BAD_PATHS:
        response = await attempt(stack, bunker, verb, path)
        assert error_of(response) == (422, "VALIDATION_ERROR"), path
        assert fields_of(response) == ["destination" if verb == "move" else "path"]
    assert worker.machines[bunker].files.calls == []


@ONE_DATABASE
@pytest.mark.parametrize("mode", ["rw", "888", "12345", ""])
async def test_a_bad_mode_is_refused(stack: Stack, bunker: str, mode: str) -> None:
    response = await put(stack, bunker, "/f", b"x", mode=mode)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == ["mode"]


async def test_the_root_directory_is_never_deleted(stack: Stack, bunker: str) -> None:
    response = await stack.call("DELETE", files(bunker), params={"path": "//", "recursive": "true"})
    assert error_of(response) == (422, "VALIDATION_ERROR")


async def test_the_guests_refusals_are_translated(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    denied = await put(stack, bunker, "/denied/x", b"x")
    assert error_of(denied) == (403, "AUTHZ_PERMISSION_DENIED")
    assert "root" in denied.json()["error"]["hint"]
    as_root = await put(stack, bunker, "/denied/x", b"x", user="root")
    assert as_root.status_code == 200
    onto = await put(stack, bunker, "/home", b"x")
    assert error_of(onto) == (409, "FILE_IS_DIRECTORY")
    await put(stack, bunker, "/home/f", b"x")
    through = await stack.call("GET", files(bunker, "/list"), params={"path": "/home/f"})
    assert error_of(through) == (422, "VALIDATION_ERROR")
    assert fields_of(through) == ["path"]
    move = {"source": "/home/f", "destination": "/denied/x", "overwrite": False}
    exists = await stack.call("POST", files(bunker, "/move"), json=move)
    assert error_of(exists) == (409, "FILE_EXISTS")
    worker.machines[bunker].files.full = True
    full = await put(stack, bunker, "/big", b"x" * 200_000)
    assert error_of(full) == (507, "FILE_NO_SPACE")


async def test_files_need_a_running_bunker(stack: Stack, bunker: str) -> None:
    await stack.data_of("POST", f"/bunkers/{bunker}/pause")
    assert error_of(await get(stack, bunker, "/f")) == (409, "BUNKER_NOT_RUNNING")
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    assert error_of(await put(stack, bunker, "/f", b"x")) == (409, "BUNKER_NOT_RUNNING")


async def test_a_worker_that_is_not_there(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await worker.stop()
    for response in (await get(stack, bunker, "/f"), await put(stack, bunker, "/f", b"x")):
        assert error_of(response) == (502, "WORKER_UNREACHABLE")


async def test_every_operation_is_logged(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await put(stack, bunker, "/f", b"12345")
    await get(stack, bunker, "/f")
    await get(stack, bunker, "/missing")
    await put(stack, bunker, "/denied/x", b"x")
    await until(lambda: logged_outcomes(stack, "write", 2))
    await until(lambda: logged_outcomes(stack, "read", 2))
    me = await stack.data_of("GET", "/v1/me")
    reads, writes = await log_of(stack, "read"), await log_of(stack, "write")
    assert [(r["path"], r["outcome"], r["bytes"]) for r in reads] == [
        ("/f", "ok", 5),
        ("/missing", "FILE_NOT_FOUND", None),
    ]
    assert [(w["path"], w["outcome"], w["as_user"]) for w in writes] == [
        ("/f", "ok", "bunker"),
        ("/denied/x", "AUTHZ_PERMISSION_DENIED", "bunker"),
    ]
    assert {entry["user_id"] for entry in (*reads, *writes)} == {me["user_id"]}
