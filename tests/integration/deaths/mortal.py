"""A controller that ends by SIGKILL at the step of its work that a test names. Run as a program.

A step is what outlives the process: a commit, a request to a worker, what Redis counts of quotas.
The process ends when it was answered and before anything follows: a death just before the next step
leaves the same, and of several statements in one transaction nothing is left without the commit.

The program is a parent that holds the listening socket, and a child that serves: when a child has died
the next one takes its place, as under any supervisor. The parent has assembled the application, so that
it takes a child no time. Its settings are the controller's own, from the environment. What a test says to
the child goes to `/mortal`, in front of the application.
"""

import contextlib
import hashlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scaibunker.controller.module import Controller
from scaibunker.controller.quotas import script
from scaibunker.controller.workers.client import WorkerClient
from scaigrid import logs
from scaigrid.app import Grid
from scaigrid.http.server import make_server
from scaigrid.modes import grid_settings
from scaigrid.module import installed
from scaigrid.operation import system_operation
from scaigrid.settings import HttpSettings, read_section
from scaigrid.tasks.domain import Span

PATH = "/mortal"
DEATHS = "deaths"
"""Name of the file, in the working directory, with a line for each step at which a child died."""
_CHANGE = re.compile(r"\s*(INSERT|UPDATE|DELETE)\s+(?:INTO\s+|FROM\s+)?(\S+)")
_ID = re.compile(r"\b(bnk|snp)_\w+")
_SCRIPTS = {
    hashlib.sha1(text.encode()).hexdigest(): name  # noqa: S324 - so Redis names scripts
    for name, text in vars(script).items()
    if name.isupper()
}


class Steps:
    """Counts them once it was told to, and ends the process at the one that is the last."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self._last: int | None = None

    def begin(self, last: int) -> None:
        """The next step is the first."""
        self.taken, self._last = [], last

    def take(self, name: str) -> None:
        """Something was done."""
        if self._last is None:
            return
        self.taken.append(name)
        if len(self.taken) == self._last:
            with Path(DEATHS).open("a") as deaths:
                deaths.write(name + "\n")
            os.kill(os.getpid(), signal.SIGKILL)


def watch_database(steps: Steps) -> None:
    """Commits, by the changes in them."""
    changes = ""

    def note(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        change = _CHANGE.match(statement)
        if change is not None:
            connection.info.setdefault("changes", []).append(" ".join(change.groups()))

    def begin(connection: Connection) -> None:
        connection.info.pop("changes", None)

    def end(connection: Connection) -> None:
        nonlocal changes
        changes = ", ".join(dict.fromkeys(connection.info.pop("changes", [])))

    original = DefaultDialect.do_commit

    def commit(dialect: DefaultDialect, connection: Any) -> None:
        name = changes  # of this connection: nothing else has run since `end`
        original(dialect, connection)
        if name:
            steps.take(name)

    event.listen(Engine, "before_cursor_execute", note)
    event.listen(Engine, "begin", begin)
    event.listen(Engine, "commit", end)
    DefaultDialect.do_commit = commit  # type: ignore[method-assign]


def watch_redis(steps: Steps) -> None:
    """Changes of what is counted of quotas."""
    one, many = Redis.execute_command, Pipeline.execute

    async def execute_command(client: Any, *command: Any, **options: Any) -> Any:
        answer = await one(client, *command, **options)
        if name := _change_of_quotas(command):
            steps.take(name)
        return answer

    async def execute(pipeline: Any, *arguments: Any) -> Any:
        names = {_change_of_quotas(command) for command, _ in pipeline.command_stack}
        answer = await many(pipeline, *arguments)
        if changes := names - {None}:
            steps.take(" ".join(map(str, changes)))
        return answer

    Redis.execute_command = execute_command
    Pipeline.execute = execute  # type: ignore[method-assign]


def _change_of_quotas(command: Any) -> str | None:
    verb, *words = map(str, command)
    if verb not in ("EVALSHA", "SET") or not any(":quota:" in word for word in words):
        return None
    return _SCRIPTS.get(words[0], f"{verb} {words[0].rpartition(':')[2]}")


def watch_workers(steps: Steps) -> None:
    """Requests to workers."""
    original = WorkerClient.request

    @contextlib.asynccontextmanager
    async def request(
        client: WorkerClient, method: str, address: str, path: str, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with original(client, method, address, path, **more) as response:
            where = _ID.sub(lambda found: found[1], path)
            steps.take(f"{method} {where}")
            yield response

    WorkerClient.request = request  # type: ignore[method-assign]


class Control:
    """What a test says: `POST /mortal?last=N` begins to count, `POST /mortal/NAME` does a background
    task, and `GET /mortal` tells how far it is."""

    def __init__(self, app: ASGIApp, *, steps: Steps, grid: Grid) -> None:
        self._app = app
        self._steps = steps
        self._grid = grid
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(PATH):
            await self._said(Request(scope))
            answer = {"pid": os.getpid(), "taken": self._steps.taken, "idle": self._is_idle()}
            await JSONResponse(answer)(scope, receive, send)
        else:
            self._requests += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._requests -= 1

    async def _said(self, request: Request) -> None:
        task = request.url.path.removeprefix(PATH).removeprefix("/")
        if "last" in request.query_params:
            self._steps.begin(int(request.query_params["last"]))
        if task:
            work = {each.name: each.work for each in self._grid.tasks}[task]
            now = self._grid.clock.now()
            span = Span(now - timedelta(minutes=1), now)
            await work(system_operation("tests", self._grid.clock), span)

    def _is_idle(self) -> bool:
        passes = [
            reconciler.at_work
            for assembly in self._grid.assemblies
            if isinstance(assembly, Controller)
            for reconciler in (assembly.reconciler, assembly.snapshots)
        ]
        return not self._requests and not any(passes)


def assembled() -> Grid:
    """The application, as `SCAIGRID_MODE=http` makes it."""
    return Grid(grid_settings(), installed())


def supervise(serve: Callable[[], None]) -> None:
    """One child after the other, for as long as each dies as it should."""
    while True:
        child = os.fork()
        if child == 0:
            serve()
            os._exit(0)
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(f"the controller ended by itself: {status}")


def main() -> None:
    """Serve on the port that the settings name, until SIGTERM."""
    steps = Steps()
    watch_database(steps)
    watch_redis(steps)
    watch_workers(steps)
    settings = read_section(HttpSettings)
    logs.configure(settings.log_level)
    grid = assembled()
    grid.app.add_middleware(Control, steps=steps, grid=grid)
    listener = socket.create_server((settings.host, settings.port), backlog=128)

    def serve() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        make_server(grid, settings).run(sockets=[listener])

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    supervise(serve)


if __name__ == "__main__":
    main()
