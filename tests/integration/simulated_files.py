"""The files of a simulated machine: a small file system in memory behind the protocol's routes."""

import json
import posixpath
from dataclasses import dataclass, field

from aiohttp import web

from scaibunker.wire.guest.files import FileEntry, FilePage


@dataclass
class SimulatedFiles:
    """Files by path; a directory is a path with None. `/denied` belongs to root."""

    nodes: dict[str, bytes | None] = field(default_factory=lambda: {"/": None, "/home": None})
    modes: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    full: bool = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        verb = request.match_info["verb"]
        self.calls.append((f"{request.method} {verb}".strip(), dict(request.query)))
        body = await request.read() if verb else b""
        asked = json.loads(body) if body else {}
        path = request.query.get("path") or asked.get("path") or asked.get("source") or "/"
        user = request.query.get("user") or asked.get("user") or "bunker"
        if path.startswith("/denied") and user != "root":
            return _no(403, "FILE_PERMISSION_DENIED", f"{path}: permission denied")
        match request.method, verb:
            case "GET", "":
                return self._read(request, path)
            case "PUT", "":
                return await self._write(request, path)
            case "DELETE", "":
                return self._delete(path, request.query.get("recursive") == "true")
            case "GET", "/stat":
                return self._answer(path)
            case "GET", "/list":
                return self._list(request, path)
            case "POST", "/mkdir":
                self._parents(posixpath.join(path, "x"))
                self.modes[path] = asked["mode"]
                return self._answer(path)
            case "POST", "/move":
                return self._move(asked)
        return _no(404, "NOT_FOUND", "no such route")

    def entry(self, path: str) -> FileEntry:
        content = self.nodes[path]
        return FileEntry(
            name=posixpath.basename(path),
            path=path,
            type="directory" if content is None else "file",
            size=len(content or b""),
            mode=self.modes.get(path, "0644"),
            uid=1000,
            gid=1000,
            mtime="2026-01-01T00:00:00Z",
        )

    def _answer(self, path: str) -> web.Response:
        if path not in self.nodes:
            return _no(404, "FILE_NOT_FOUND", f"{path}: no such file")
        return web.Response(
            text=self.entry(path).model_dump_json(), content_type="application/json"
        )

    def _read(self, request: web.Request, path: str) -> web.Response:
        if path not in self.nodes:
            return _no(404, "FILE_NOT_FOUND", f"{path}: no such file")
        content = self.nodes[path]
        if content is None:
            return _no(409, "FILE_IS_DIRECTORY", f"{path} is a directory")
        headers = {"X-File-Entry": self.entry(path).model_dump_json(), "Accept-Ranges": "bytes"}
        wanted = request.headers.get("Range")
        if not wanted:
            return web.Response(body=content, headers=headers)
        first, last = wanted.removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last or len(content)) + 1, len(content))
        if start >= len(content):
            headers = {"Content-Range": f"bytes */{len(content)}"}
            return _no(416, "RANGE_NOT_SATISFIABLE", "too far", headers)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        return web.Response(status=206, body=content[start:end], headers=headers)

    async def _write(self, request: web.Request, path: str) -> web.Response:
        if self.full:
            return _no(507, "FILE_NO_SPACE", "no space left on device")
        if path in self.nodes and self.nodes[path] is None:
            return _no(409, "FILE_IS_DIRECTORY", f"{path} is a directory")
        content = await request.read()  # raises if the body is cut, and then nothing changes
        self._parents(path)
        self.nodes[path] = content
        if "mode" in request.query:
            self.modes[path] = request.query["mode"]
        return self._answer(path)

    def _delete(self, path: str, recursive: bool) -> web.Response:
        if path not in self.nodes:
            return _no(404, "FILE_NOT_FOUND", f"{path}: no such file")
        below = [p for p in self.nodes if p.startswith(path.rstrip("/") + "/")]
        if self.nodes[path] is None and not recursive:
            return _no(409, "FILE_IS_DIRECTORY", f"{path} is a directory")
        for each in [path, *below]:
            del self.nodes[each]
        return web.Response(status=204)

    def _list(self, request: web.Request, path: str) -> web.Response:
        if path in self.nodes and self.nodes[path] is not None:
            return _no(409, "FILE_NOT_DIRECTORY", f"{path} is not a directory")
        limit, after = int(request.query["limit"]), request.query.get("after", "")
        prefix = path.rstrip("/") + "/"
        deep = request.query.get("recursive") == "true"
        found = sorted(
            p
            for p in self.nodes
            if p.startswith(prefix)
            and p != "/"
            and p > after
            and (deep or "/" not in p[len(prefix) :])
        )
        page = FilePage(
            entries=[self.entry(p) for p in found[:limit]],
            has_more=len(found) > limit,
            next_after=found[limit - 1] if len(found) > limit else None,
        )
        return web.Response(text=page.model_dump_json(), content_type="application/json")

    def _move(self, asked: dict[str, str]) -> web.Response:
        source, destination = asked["source"], asked["destination"]
        if source not in self.nodes:
            return _no(404, "FILE_NOT_FOUND", f"{source}: no such file")
        if destination in self.nodes and not asked.get("overwrite", True):
            return _no(409, "FILE_EXISTS", f"{destination} exists")
        self.nodes[destination] = self.nodes.pop(source)
        return self._answer(destination)

    def _parents(self, path: str) -> None:
        parent = posixpath.dirname(path)
        while parent not in self.nodes:
            self.nodes[parent] = None
            parent = posixpath.dirname(parent)


def _no(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"code": code, "message": message}
    return web.json_response(body, status=status, headers=headers)
