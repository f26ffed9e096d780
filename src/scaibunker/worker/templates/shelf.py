"""The templates of this host, on its disk and, while they are used, in its memory.

On disk each is a folder that appears by a rename when everything in it is whole, so that there is no half of one.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.templates import template as files
from scaibunker.worker.templates.shape import Shape, key
from scaibunker.worker.templates.template import Manifest, Template
from scaibunker.worker.threads import in_thread

log = structlog.get_logger(__name__)

HALF = ".new-"


class Shelf:
    """At most `limit_bytes` of disk and `memory_limit_mb` MiB of memory: what was used longest ago goes first."""

    def __init__(self, folder: Path, limit_bytes: int, memory_limit_mb: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._memory_limit_mb = memory_limit_mb
        self._templates: dict[str, Template] = {}
        self._loading = asyncio.Lock()

    def __iter__(self) -> Iterator[Template]:
        return iter(list(self._templates.values()))

    @property
    def memory_taken_mb(self) -> int:
        """MiB of the host's memory, all templates together."""
        return sum(template.memory_taken_mb for template in self)

    def take_over(self) -> None:
        """Find what an earlier daemon left, and remove what it had not finished. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            try:
                manifest = files.read(path)
                if path.name == key(manifest.basis, manifest.shape):
                    self._templates[path.name] = Template(path, manifest)
                    continue
            except (OSError, WorkerFault) as error:
                log.warning("template_removed", folder=path.name, reason=str(error))
            shutil.rmtree(path, ignore_errors=True)
        self._make_room(0)

    def find(self, basis: str, shape: Shape) -> Template | None:
        return self._templates.get(key(basis, shape))

    @contextlib.contextmanager
    def half(self) -> Iterator[Path]:
        """A folder to put a template together in; what is left in it at the end is removed."""
        folder = self._folder / f"{HALF}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700, parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def put(self, folder: Path, manifest: Manifest, memory: int) -> Template:
        """Keep what was put together in `folder`; `memory` is the shelf's from now on. Raises WorkerFault if there is
        no room for it, OSError."""
        try:
            await in_thread(lambda stop: files.write(folder, manifest, memory, stop))
            size = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
            if not self._make_room(size):
                raise WorkerFault(f"a template of {size >> 20} MiB is more than may be kept")
            name = key(manifest.basis, manifest.shape)
            self._drop(name)
            folder.rename(self._folder / name)
            template = Template(self._folder / name, files.read(self._folder / name))
        except BaseException:
            os.close(memory)
            raise
        template.memory = memory
        self._templates[name] = template
        self._forget_memories(template)
        return template

    @contextlib.asynccontextmanager
    async def opened(self, template: Template) -> AsyncIterator[int]:
        """Its memory, and that it stays while somebody reads it. Raises WorkerFault, OSError if it is not what it was;
        then it is of no use."""
        template.users += 1
        memory: int | None = None
        try:
            async with self._loading:
                if template.memory is None:
                    manifest = template.manifest
                    template.memory = await in_thread(
                        lambda stop: files.load(template.folder, manifest, stop)
                    )
                    self._forget_memories(template)
                memory = os.dup(template.memory)
            template.use(time.time())
            yield memory
        finally:
            template.users -= 1
            if memory is not None:
                os.close(memory)

    def discard(self, template: Template) -> None:
        """Remove it. Machines that are made of it go on. Idempotent."""
        if self._templates.get(template.folder.name) is template:
            self._drop(template.folder.name)

    def drop_stale(self, basis: str) -> None:
        """Remove those that rest on anything else."""
        for template in self:
            if template.manifest.basis != basis:
                log.info("template_stale", image=template.shape.image_sha256[:12])
                self.discard(template)

    def close(self) -> None:
        """Let go of all memory; the folders stay."""
        for template in self:
            template.forget_memory()

    def _drop(self, name: str) -> None:
        template = self._templates.pop(name, None)
        if template is not None:
            template.forget_memory()
            # Out of the way first: what is being removed is never taken for whole.
            grave = self._folder / f"{HALF}{secrets.token_hex(8)}"
            with contextlib.suppress(OSError):
                template.folder.rename(grave)
            shutil.rmtree(grave, ignore_errors=True)

    def _make_room(self, size: int) -> bool:
        """Whether so many bytes more are within the limit, once others have gone."""
        for template in sorted(self, key=lambda t: t.used_at):
            if self._bytes + size <= self._limit_bytes:
                break
            if template.users == 0:
                log.info("template_evicted", image=template.shape.image_sha256[:12])
                self.discard(template)
        return self._bytes + size <= self._limit_bytes

    @property
    def _bytes(self) -> int:
        return sum(template.size for template in self)

    def _forget_memories(self, kept: Template) -> None:
        for template in sorted(self, key=lambda t: t.used_at):
            if self.memory_taken_mb <= self._memory_limit_mb:
                return
            if template is not kept:
                template.forget_memory()
