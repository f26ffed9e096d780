"""A host in a folder: files, an environment, and tools that say what a test wants."""

from collections.abc import Mapping
from pathlib import Path

from scaibunker.worker.network.registries.host_view import HostView


def host(
    root: Path,
    files: Mapping[str, str | bytes] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    tools: Mapping[str, str] | None = None,
) -> HostView:
    """`files` by absolute path; those of the user are under /root. `tools`: output by the command line."""
    for path, content in (files or {}).items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    said = dict(tools or {})
    return HostView(
        root, root / "root", env or {}, (root / "packages",), lambda argv: said.get(" ".join(argv))
    )
