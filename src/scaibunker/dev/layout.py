"""Where things lie in a data folder, and the secrets that are made once for it."""

import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL

SOCKET_PATH_LIMIT = 107
FULL_BELOW_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """The parts of `DIR`; absolute, however it was given: processes and URLs are told of them."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.resolve())

    @property
    def credentials(self) -> Path:
        return self.root / "credentials.json"

    @property
    def database(self) -> Path:
        return self.root / "scaigrid.db"

    @property
    def database_url(self) -> str:
        """Rendered, not pasted: a path may hold characters that mean something in a URL."""
        return URL.create("sqlite", database=str(self.database)).render_as_string()

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def imports(self) -> Path:
        return self.root / "import"

    @property
    def worker(self) -> Path:
        return self.root / "worker"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def redis_socket(self) -> Path:
        """In the folder, or where a path is short enough for a socket (107 bytes)."""
        here = self.root / "redis.sock"
        if len(os.fsencode(here)) <= SOCKET_PATH_LIMIT:
            return here
        mark = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(f"/run/scaibunker-dev-{mark}") / "redis.sock"

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.redis_socket))}"

    @property
    def lock(self) -> Path:
        return self.root / "dev.lock"

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another file worth having."""
        try:
            return shutil.disk_usage(self.root).free < FULL_BELOW_BYTES
        except OSError:  # it is not there at all
            return False

    def make(self) -> None:
        """Make the folders that are missing; nobody else may look into them."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets = self.redis_socket.parent
        for folder in (self.objects, self.imports, self.worker, self.logs, sockets):
            folder.mkdir(mode=0o700, exist_ok=True)

    def clear(self) -> None:
        """Remove what is of no use after a stop."""
        self.redis_socket.unlink(missing_ok=True)
        if self.redis_socket.parent != self.root:
            self.redis_socket.parent.rmdir()


@dataclass(frozen=True)
class Credentials:
    """What `credentials.json` holds. `keys` by identity: super_admin, tenant_admin, user, viewer."""

    base_url: str
    tenant_id: str
    keys: dict[str, str]
    worker_token: str

    def save(self, path: Path) -> None:
        """Replace the file; only its owner may read it."""
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.__dict__, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(descriptor)
        temporary.rename(path)


def load_credentials(path: Path) -> Credentials | None:
    """What an earlier start wrote, or None if there is nothing whole."""
    try:
        value = json.loads(path.read_text())
        return Credentials(
            base_url=str(value["base_url"]),
            tenant_id=str(value["tenant_id"]),
            keys={str(name): str(key) for name, key in value["keys"].items()},
            worker_token=str(value["worker_token"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def new_worker_token() -> str:
    return f"swt_{secrets.token_urlsafe(32)}"
