"""Database, Redis and S3 servers of the tests' own: private folders, free ports, ended by pid."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from tests.ports import free_port

START_S = 60
BUILD_S = 1800


class ServerFailed(Exception):
    """A server did not start; the message has the end of its log."""


class ServerProcess:
    """A child process that listens. It can be killed and started again on the same data."""

    def __init__(
        self, folder: Path, argv: list[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self._argv = argv
        self._environment = environment
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def answers(self) -> bool:
        """Whether it can be used."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment,
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerFailed(self._log.read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in good order."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a test may have stopped it
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


S = TypeVar("S", bound=ServerProcess)


def running(server: S) -> Iterator[S]:
    """The body of a fixture: a server that runs for as long as it is used."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


class MariaDb(ServerProcess):
    """A `mariadbd`, reached through a socket in its folder; root has no password there."""

    def __init__(self, folder: Path) -> None:
        data, self.socket = folder / "data", folder / "s"
        self.port = free_port()
        install = shutil.which("mariadb-install-db")
        server = shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin")
        if install is None or server is None:
            raise ServerFailed("mariadbd is not installed: scripts/host-packages run test")
        subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--user=root",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=120,
        )
        super().__init__(
            folder,
            [
                server,
                "--no-defaults",
                f"--datadir={data}",
                f"--socket={self.socket}",
                "--bind-address=127.0.0.1",
                f"--port={self.port}",
                f"--pid-file={folder / 'pid'}",
                "--user=root",
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=16M",
                "--max-connections=400",
                "--skip-name-resolve",
                "--skip-log-bin",
                # Only a power failure could lose something, and what a test loses then is no matter.
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-doublewrite=0",
            ],
        )

    def answers(self) -> bool:
        """A connection can be made and asked."""
        return self._client("SELECT 1").returncode == 0

    def sql(self, statement: str) -> str:
        """What the client program prints for a statement."""
        done = self._client(statement)
        if done.returncode:
            raise ServerFailed(done.stderr.decode())
        return done.stdout.decode()

    def _client(self, statement: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [
                "mariadb",
                "--no-defaults",
                f"--socket={self.socket}",
                "-uroot",
                "-N",
                "-e",
                statement,
            ],
            capture_output=True,
            timeout=30,
            check=False,
        )

    def url(self, database: str) -> str:
        """The URL of a database, which is made if it is not there."""
        self.sql(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        return self.address(database)

    def address(self, database: str) -> str:
        """The URL of a database that is there."""
        return f"mariadb://root@localhost/{database}?unix_socket={self.socket}"


class RedisServer(ServerProcess):
    """A `redis-server` on a port of its own, in memory alone."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.socket = folder / "s"
        super().__init__(
            folder,
            [
                "redis-server",
                "--unixsocket",
                str(self.socket),
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                str(folder),
            ],
        )

    def answers(self) -> bool:
        """It says PONG."""
        return b"PONG" in self._client("ping").stdout

    def wipe(self) -> None:
        """Forget everything."""
        self.command("flushall")

    def command(self, *words: str) -> None:
        """Have it do something."""
        done = self._client(*words)
        if b"OK" not in done.stdout:
            raise ServerFailed((done.stdout + done.stderr).decode())

    def ask(self, *words: str) -> str:
        """What the client program prints for a command."""
        return self._client(*words).stdout.decode().strip()

    def _client(self, *command: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["redis-cli", "-p", str(self.port), *command],
            capture_output=True,
            timeout=30,
            check=False,
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"


class S3Server(ServerProcess):
    """A `versitygw`: an S3-compatible server that keeps a bucket's objects as files in its folder."""

    KEY_ID = "tests"
    SECRET = "a-secret-that-no-log-has"
    BUCKET = "bucket"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.objects = folder / "data" / self.BUCKET
        self.objects.mkdir(parents=True)  # and the folder, if it is not there
        described = folder / "described"
        described.mkdir()
        super().__init__(
            folder,
            [
                _s3_program(),
                "--port",
                f"127.0.0.1:{self.port}",
                "--quiet",
                "posix",
                "--sidecar",
                str(described),
                str(self.objects.parent),
            ],
            {"ROOT_ACCESS_KEY": self.KEY_ID, "ROOT_SECRET_KEY": self.SECRET},
        )

    def answers(self) -> bool:
        """It takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    @property
    def endpoint(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def unfinished(self) -> list[Path]:
        """Parts of uploads that have no end."""
        # Folders may go away meanwhile, which `rglob` does not bear.
        found = os.walk(self.objects / ".sgwtmp")
        return [Path(folder, name) for folder, _, names in found for name in names]


def _s3_program() -> str:
    """Built if it is not there; the Makefile sees to that before the tests."""
    script = Path(__file__).parents[1] / "scripts" / "s3-server"
    done = subprocess.run([script], capture_output=True, timeout=BUILD_S, check=False)
    if done.returncode:
        raise ServerFailed(done.stderr.decode(errors="replace")[-2000:])
    return done.stdout.decode().strip()
