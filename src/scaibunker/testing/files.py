"""The files of a simulated guest, in memory, behind the routes of the guest protocol.

Every user may do everything; links, owners and times are not kept.
"""

import base64
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from pydantic import BaseModel

from scaibunker.wire.codes import Code
from scaibunker.wire.guest.files import FileEntry, FilePage, MkdirRequest, MoveRequest

JSON = "application/json"
LIST_LIMIT = 1000


@dataclass
class Answer:
    """What a guest answers to a request that is over at once."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request cannot be done."""

    def __init__(self, status: int, code: Code, message: str, **headers: str) -> None:
        super().__init__(message)
        body = json.dumps({"code": code, "message": message}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = Answer(status, body, {"content-type": JSON, **named})


def answer_with(model: BaseModel, status: int = 200) -> Answer:
    return Answer(status, model.model_dump_json().encode(), {"content-type": JSON})


class Files:
    """Contents by path; a directory has None."""

    def __init__(self) -> None:
        self._nodes: dict[str, bytes | None] = {"/": None, "/home": None, "/home/bunker": None}
        self._modes: dict[str, str] = {}

    def dump(self) -> dict[str, str | None]:
        """All of them by path, contents in base64, for a machine that is saved."""
        return {
            path: None if content is None else base64.b64encode(content).decode()
            for path, content in self._nodes.items()
        }

    def load(self, dumped: Mapping[str, str | None]) -> None:
        """Hold what was dumped, and nothing else."""
        self._nodes = {
            path: None if content is None else base64.b64decode(content)
            for path, content in dumped.items()
        }

    def content(self, path: str) -> bytes | None:
        """What is in a file; None if there is no such file."""
        return self._nodes.get(path)

    def answer(
        self, method: str, verb: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """One request, `verb` being what follows `/v1/files`. Raises Refused, and ValueError for what
        is no request."""
        asked = dict(parse_qsl(query, keep_blank_values=True))
        path = posixpath.normpath(asked.get("path", "/"))
        match method, verb:
            case "GET", "":
                return self._read(path, headers.get("range"))
            case "PUT", "":
                return self._write(path, body, asked.get("mode"))
            case "DELETE", "":
                return self._delete(path, recursive=asked.get("recursive") == "true")
            case "GET", "/stat":
                self._find(path)
                return answer_with(self._entry(path))
            case "GET", "/list":
                return self._list(path, asked)
            case "POST", "/mkdir":
                made = MkdirRequest.model_validate_json(body)
                self._make_directory(made.path)
                self._modes.setdefault(made.path, made.mode)
                return answer_with(self._entry(made.path))
            case "POST", "/move":
                return self._move(MoveRequest.model_validate_json(body))
        raise Refused(404, Code.NOT_FOUND, "no such route")

    def _find(self, path: str) -> bytes | None:
        if path not in self._nodes:
            raise Refused(404, Code.FILE_NOT_FOUND, f"{path}: no such file or directory")
        return self._nodes[path]

    def _find_file(self, path: str) -> bytes:
        content = self._find(path)
        if content is None:
            raise Refused(409, Code.FILE_IS_DIRECTORY, f"{path} is a directory")
        return content

    def _entry(self, path: str) -> FileEntry:
        content = self._nodes[path]
        directory = content is None
        return FileEntry(
            name=posixpath.basename(path),
            path=path,
            type="directory" if directory else "file",
            size=len(content or b""),
            mode=self._modes.get(path, "0755" if directory else "0644"),
            uid=1000,
            gid=1000,
            mtime="2026-01-01T00:00:00Z",
        )

    def _read(self, path: str, wanted: str | None) -> Answer:
        content = self._find_file(path)
        headers = {"x-file-entry": self._entry(path).model_dump_json(), "accept-ranges": "bytes"}
        headers["content-type"] = "application/octet-stream"
        if wanted is None:
            return Answer(200, content, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(content) - int(last))
        end = min(int(last), len(content) - 1) if first and last else len(content) - 1
        if start > end:
            raise Refused(
                416,
                Code.RANGE_NOT_SATISFIABLE,
                f"{path} has {len(content)} bytes",
                content_range=f"bytes */{len(content)}",
            )
        headers["content-range"] = f"bytes {start}-{end}/{len(content)}"
        return Answer(206, content[start : end + 1], headers)

    def _write(self, path: str, content: bytes, mode: str | None) -> Answer:
        if path in self._nodes:
            self._find_file(path)
        self._make_directory(posixpath.dirname(path))
        self._nodes[path] = content
        if mode is not None:
            self._modes[path] = mode
        return answer_with(self._entry(path))

    def _delete(self, path: str, *, recursive: bool) -> Answer:
        below = [each for each in self._nodes if each.startswith(path.rstrip("/") + "/")]
        if self._find(path) is None and not recursive:
            raise Refused(409, Code.FILE_IS_DIRECTORY, f"{path} is a directory")
        for each in [path, *below]:
            del self._nodes[each]
        return Answer(204)

    def _list(self, path: str, asked: Mapping[str, str]) -> Answer:
        if self._find(path) is not None:
            raise Refused(409, Code.FILE_NOT_DIRECTORY, f"{path} is not a directory")
        prefix, after = path.rstrip("/") + "/", asked.get("after", "")
        limit, deep = int(asked.get("limit", LIST_LIMIT)), asked.get("recursive") == "true"
        found = sorted(
            each
            for each in self._nodes
            if each.startswith(prefix) and each not in ("/", path) and each > after
            if deep or "/" not in each[len(prefix) :]
        )
        more = len(found) > limit
        return answer_with(
            FilePage(
                entries=[self._entry(each) for each in found[:limit]],
                has_more=more,
                next_after=found[limit - 1] if more else None,
            )
        )

    def _move(self, asked: MoveRequest) -> Answer:
        self._find(asked.source)
        if asked.destination in self._nodes and not asked.overwrite:
            raise Refused(409, Code.FILE_EXISTS, f"{asked.destination} exists")
        self._make_directory(posixpath.dirname(asked.destination))
        prefix = asked.source + "/"
        for each in [p for p in self._nodes if p == asked.source or p.startswith(prefix)]:
            self._nodes[asked.destination + each[len(asked.source) :]] = self._nodes.pop(each)
        return answer_with(self._entry(asked.destination))

    def _make_directory(self, path: str) -> None:
        while path not in self._nodes:
            self._nodes[path] = None
            path = posixpath.dirname(path)
        if self._nodes[path] is not None:
            raise Refused(409, Code.FILE_NOT_DIRECTORY, f"{path} is not a directory")
