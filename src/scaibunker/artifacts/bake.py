"""Turn a root file system tarball, which may be hostile, into one ext4 file.

The image baker (`image-baker/`, Go) reads the tarball as a stream and writes the image; nothing
is unpacked on the host or mounted. It runs without any right to a path: it gets three open files,
and under root another user's identity. This file owns that confinement and the limits; which
entries are accepted is the baker's.
"""

import io
import json
import lzma
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scaibunker.artifacts.records import ArtifactsError

_NOBODY = 65534
_REFUSED = 2
_XZ_MAGIC = b"\xfd7zXZ\0"
_XZ_MEMORY = 256 << 20
"""`xz -9` needs 65 MiB to unpack; a stream that asks for more than this is refused."""
_CHUNK = 1 << 20


class TarballRefused(ArtifactsError):
    """The tarball broke a rule or a limit; the message names the entry and the rule."""


@dataclass(frozen=True)
class Limits:
    """What one tarball may cost. Sparse files count at their full length."""

    content_bytes: int = 4 << 30
    entries: int = 1_000_000
    seconds: float = 1200


def bake(baker: Path, tarball: Path, image: Path, limits: Limits | None = None) -> None:
    """Write the ext4 file `image`, which must not exist yet, from `tarball`.

    The tarball may be plain or compressed with gzip, bzip2, xz or zstd. The same content gives
    the same bytes. Raises `TarballRefused` if it is at fault; `image` is then removed.
    """
    limits = limits or Limits()
    try:
        # Not buffered: the baker goes on where this descriptor stands.
        source = io.FileIO(tarball, opener=_without_waiting)
    except OSError as error:
        msg = f"the tarball {tarball} cannot be read: {error.strerror}"
        raise ArtifactsError(msg) from error
    with source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            msg = f"the tarball {tarball} is no regular file"
            raise ArtifactsError(msg)
        with image.open("x+b") as target:
            try:
                _run(baker, source, target, limits)
            except BaseException:
                image.unlink(missing_ok=True)
                raise


def _without_waiting(path: str, flags: int) -> int:
    """Open a file, but do not wait for the writer of a FIFO, who may never come."""
    return os.open(path, flags | os.O_NONBLOCK)


def _run(baker: Path, source: io.FileIO, target: BinaryIO, limits: Limits) -> None:
    is_xz = source.read(len(_XZ_MAGIC)) == _XZ_MAGIC
    source.seek(0)
    with _started(baker, subprocess.PIPE if is_xz else source, target, limits) as process:
        problem = _feed(source, process) if is_xz else None
        said, complaint = process.communicate()
    if problem is not None:
        raise problem
    if process.returncode == 0:
        json.loads(said)  # the baker's summary: proof that it came to its end
        return
    last = complaint.decode(errors="replace").strip().rpartition("\n")[2][-1000:]
    if process.returncode == _REFUSED:
        raise TarballRefused(last)
    if process.returncode < 0:
        msg = f"baking took more than its limits allow (signal {-process.returncode})"
        raise TarballRefused(msg)
    msg = f"the image baker failed with status {process.returncode}: {last}"
    raise ArtifactsError(msg)


@contextmanager
def _started(
    baker: Path, stdin: io.FileIO | int, target: BinaryIO, limits: Limits
) -> Iterator[subprocess.Popen[bytes]]:
    with ExitStack() as stack:
        # Run by descriptor: the other user may have no way to the cache directory.
        program = os.open(baker, os.O_RDONLY)
        stack.callback(os.close, program)
        output = target.fileno()
        identity = _NOBODY if os.geteuid() == 0 else None
        process = stack.enter_context(
            subprocess.Popen(
                [
                    f"/proc/self/fd/{program}",
                    f"--output-fd={output}",
                    f"--max-bytes={limits.content_bytes}",
                    f"--max-entries={limits.entries}",
                ],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(program, output),
                cwd="/",
                env={"GOMEMLIMIT": "1GiB"},
                user=identity,
                group=identity,
                extra_groups=None if identity is None else [],
            )
        )
        stack.callback(process.kill)  # whatever goes wrong from here on
        alarm = threading.Timer(limits.seconds, process.kill)
        alarm.start()
        stack.callback(alarm.cancel)
        yield process


def _feed(source: io.FileIO, process: subprocess.Popen[bytes]) -> TarballRefused | None:
    """Unpack xz into the baker with bounded memory. Returns what is wrong with the stream."""
    assert process.stdin is not None  # noqa: S101 - _run asked for a pipe
    try:
        for chunk in _unpacked(source):
            process.stdin.write(chunk)
    except lzma.LZMAError as error:
        return TarballRefused(f"tarball refused: bad xz stream: {error}")
    except BrokenPipeError:
        return None  # the baker ended first and says why
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdin = None  # communicate() would close it again
    return None


def _unpacked(source: io.FileIO) -> Iterator[bytes]:
    """Yield what the xz streams in `source` hold, at most a chunk at a time."""
    packed = source.read(_CHUNK)
    while packed:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not unpacker.eof:
            yield unpacker.decompress(packed, _CHUNK)
            packed = source.read(_CHUNK) if unpacker.needs_input else b""
            if not packed and unpacker.needs_input and not unpacker.eof:
                msg = "it is cut short"
                raise lzma.LZMAError(msg)
        # Another stream may follow, after padding of zeros.
        packed = (unpacker.unused_data + packed).lstrip(b"\0") or source.read(_CHUNK).lstrip(b"\0")
