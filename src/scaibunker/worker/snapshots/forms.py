"""What is in the parts of a snapshot before they are compressed: a file as it is, a disk's extents, or what
differs from another disk.

A disk is a header and its extents, so that its holes cost nothing, neither to read nor to write; among
differences are extents that have become holes. Whoever reads one trusts nothing in it: it may not be verified
yet.
"""

import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from scaibunker.wire.guest.execs import EXEC_ID
from scaibunker.worker.disks.copy import Done, extents
from scaibunker.worker.disks.digests import Change
from scaibunker.worker.disks.holes import punch
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.execs.spools import MAX_SPOOLS, SUFFIX, Output
from scaibunker.worker.room import Room
from scaibunker.worker.threads import check

MAGIC = b"SBDISK1\n"
DELTA_MAGIC = b"SBDELT1\n"
SIZE = struct.Struct(">Q")
EXTENT = struct.Struct(">QQ")
EXECS_MAGIC = b"SBEXEC1\n"
LENGTHS = struct.Struct(">BQ")
"""Of a command's id, 0 for the end, and of its output."""
END = (1 << 64) - 1
"""The offset that ends the list of extents."""
HOLE = 1 << 63
"""Added to the length of an extent that is a hole: no bytes of it follow."""
CHUNK = 1024 * 1024

Feed = Callable[[int, threading.Event], None]
"""Writes a part to a pipe. Raises WorkerFault, OSError, Stopped."""
Drain = Callable[[IO[bytes], threading.Event], None]
"""Reads a part from a pipe, to its end. Raises Malformed, WorkerFault, OSError, Stopped."""


class Malformed(WorkerFault):
    """A part is not what its manifest says it is."""


def disk_feed(source: Path, done: Done) -> Feed:
    """The disk's file as a part."""

    def feed(pipe: int, stop: threading.Event) -> None:
        with source.open("rb") as disk:
            _write(pipe, MAGIC + SIZE.pack(os.fstat(disk.fileno()).st_size))
            for begin, length in extents(disk.fileno()):
                _write(pipe, EXTENT.pack(begin, length))
                _send(disk.fileno(), pipe, begin, length, stop, done)
            _write(pipe, EXTENT.pack(END, 0))

    return feed


def delta_feed(source: Path, differs: Sequence[Change], done: Done) -> Feed:
    """What differs of a disk's file."""

    def feed(pipe: int, stop: threading.Event) -> None:
        with source.open("rb") as disk:
            descriptor = disk.fileno()
            _write(pipe, DELTA_MAGIC + SIZE.pack(os.fstat(descriptor).st_size))
            for change in differs:
                position = change.begin
                inside = [] if change.empty else extents(descriptor, change.begin, change.end)
                for begin, length in inside:
                    if begin > position:
                        _write(pipe, EXTENT.pack(position, HOLE | begin - position))
                    _write(pipe, EXTENT.pack(begin, length))
                    _send(descriptor, pipe, begin, length, stop, done)
                    position = begin + length
                if change.end > position:
                    _write(pipe, EXTENT.pack(position, HOLE | change.end - position))
            _write(pipe, EXTENT.pack(END, 0))

    return feed


def file_feed(source: Path, done: Done) -> Feed:
    """A file as a part."""

    def feed(pipe: int, stop: threading.Event) -> None:
        with source.open("rb") as file:
            _send(file.fileno(), pipe, 0, os.fstat(file.fileno()).st_size, stop, done)

    return feed


def execs_feed(outputs: Sequence[Output], done: Done) -> Feed:
    """What commands have written so far, each file as long as it was when that was asked."""

    def feed(pipe: int, stop: threading.Event) -> None:
        _write(pipe, EXECS_MAGIC)
        for output in outputs:
            name = output.exec_id.encode()
            _write(pipe, LENGTHS.pack(len(name), output.size) + name)
            with output.path.open("rb") as file:
                _send(file.fileno(), pipe, 0, output.size, stop, done)
        _write(pipe, LENGTHS.pack(0, 0))

    return feed


def disk_drain(target: Path, size: int, room: Room) -> Drain:
    """Make the disk's file, which must be `size` bytes."""

    def drain(pipe: IO[bytes], stop: threading.Event) -> None:
        with target.open("xb") as disk:
            target.chmod(0o600)
            _head(pipe, MAGIC, size)
            os.truncate(disk.fileno(), size)
            for begin, length, hole in _extents(pipe, size):
                if hole:
                    raise Malformed("the snapshot's disk has differences where it should be whole")
                disk.seek(begin)
                _receive(pipe, disk, length, room, stop)
            _no_more(pipe)

    return drain


def delta_drain(target: Path, size: int, room: Room) -> Drain:
    """Make the base's disk, whose file is there and not larger, one of `size` bytes with the differences."""

    def drain(pipe: IO[bytes], stop: threading.Event) -> None:
        with target.open("r+b") as disk:
            _head(pipe, DELTA_MAGIC, size)
            if os.fstat(disk.fileno()).st_size > size:
                raise Malformed("the snapshot's disk is smaller than its base's")
            os.truncate(disk.fileno(), size)
            for begin, length, hole in _extents(pipe, size):
                if hole:
                    check(stop)
                    disk.flush()
                    punch(disk.fileno(), begin, length, stop)
                else:
                    disk.seek(begin)
                    _receive(pipe, disk, length, room, stop)
            _no_more(pipe)

    return drain


def file_drain(target: Path, size: int, room: Room) -> Drain:
    """Make the file, which must be `size` bytes."""

    def drain(pipe: IO[bytes], stop: threading.Event) -> None:
        with target.open("xb") as file:
            target.chmod(0o600)
            _receive(pipe, file, size, room, stop)
            _no_more(pipe)

    return drain


def execs_drain(folder: Path, size: int, room: Room) -> Drain:
    """Make the folder, with a file for each command by its id, which must come to `size` bytes."""

    def drain(pipe: IO[bytes], stop: threading.Event) -> None:
        folder.mkdir(mode=0o700)
        if _exactly(pipe, len(EXECS_MAGIC)) != EXECS_MAGIC:
            raise Malformed(
                "the snapshot's output of commands is in no form that this worker knows"
            )
        left, names = size, set[str]()
        while True:
            length, content = LENGTHS.unpack(_exactly(pipe, LENGTHS.size))
            if not length:
                break
            name = _exactly(pipe, length).decode("ascii", "replace")
            if (
                not EXEC_ID.match(name)
                or name in names
                or len(names) >= MAX_SPOOLS
                or content > left
            ):
                raise Malformed("the snapshot's output of commands makes no sense")
            names.add(name)
            left -= content
            path = folder / f"{name}{SUFFIX}"
            with path.open("xb") as file:
                path.chmod(0o600)
                _receive(pipe, file, content, room, stop)
        _no_more(pipe)

    return drain


def _head(pipe: IO[bytes], magic: bytes, size: int) -> None:
    if _exactly(pipe, len(magic)) != magic:
        raise Malformed("the snapshot's disk is not in a form that this worker knows")
    if SIZE.unpack(_exactly(pipe, SIZE.size))[0] != size:
        raise Malformed("the snapshot's disk has another size than its manifest says")


def _extents(pipe: IO[bytes], size: int) -> Iterator[tuple[int, int, bool]]:
    """Offset, length, and whether it is a hole, in order and within the disk; whoever asks reads the bytes of
    each before the next."""
    position = 0
    while True:
        begin, length = EXTENT.unpack(_exactly(pipe, EXTENT.size))
        if begin == END:
            return
        hole, length = bool(length & HOLE), length & ~HOLE
        if begin < position or not 0 < length <= size - begin:
            raise Malformed("the snapshot's disk has parts that do not fit it")
        yield begin, length, hole
        position = begin + length


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def _send(
    source: int, pipe: int, begin: int, length: int, stop: threading.Event, done: Done
) -> None:
    position, end = begin, begin + length
    while position < end:
        check(stop)
        sent = os.sendfile(pipe, source, position, min(CHUNK, end - position))
        if not sent:
            raise WorkerFault("a file became shorter while it was packed")
        position += sent
        done(sent)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) != length:
        raise Malformed("the snapshot ends too early")
    return data


def _receive(
    pipe: IO[bytes], file: IO[bytes], length: int, room: Room, stop: threading.Event
) -> None:
    while length:
        check(stop)
        data = _exactly(pipe, min(CHUNK, length))
        room.check(len(data), "what is being unpacked")
        file.write(data)
        length -= len(data)


def _no_more(pipe: IO[bytes]) -> None:
    if pipe.read(1):
        raise Malformed("the snapshot is longer than its manifest says")
