"""Batches on their way to storage: for as long as it takes, and never gone before they are there."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.audit import uploader as uploaders
from scaibunker.worker.network.audit.folders import MAX_BATCH_BYTES, BadBatch, Folders
from scaibunker.worker.network.audit.store import NAME
from scaibunker.worker.network.audit.uploader import TURN, Uploader
from scaibunker.worker.snapshots.store import StoreAway
from tests.waiting import until

BUNKER, OTHER = "bnk_aaaa", "bnk_bbbb"


def name(number: int) -> str:
    return f"{1_700_000_000_000_000 + number}-7.ndjson"


class Store:
    """Objects in memory. `faults` are raised by the next calls, after the object is stored if `late`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.order: list[str] = []
        self.faults: list[Exception] = []
        self.late = False
        self.refused: set[str] = set()

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str) -> None:
        assert NAME.match(name)
        content = b"".join([chunk async for chunk in chunks])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
        if name in self.refused:
            raise WorkerFault("storage refuses it")
        fault = self.faults.pop(0) if self.faults else None
        if fault is None or self.late:
            assert self.objects.setdefault(name, content) == content
            self.order.append(name)
        if fault is not None:
            raise fault


@pytest.fixture
def store() -> Store:
    return Store()


def write(root: Path, bunker_id: str, batch: str, content: bytes = b"{}\n") -> Path:
    folder = root / bunker_id
    folder.mkdir(exist_ok=True)
    path = folder / batch
    path.write_bytes(content)
    return path


def uploader(root: Path, store: Store, *living: str) -> Uploader:
    return Uploader(Folders(root), store, lambda: living, look_s=0.01, max_delay_s=0.02)


async def test_complete_batches_are_brought_in_order_and_removed(
    tmp_path: Path, store: Store
) -> None:
    for number in (3, 1, 2):
        write(tmp_path, BUNKER, name(number), f"{number}\n".encode())
    unfinished = write(tmp_path, BUNKER, name(4) + ".part")
    await uploader(tmp_path, store).bring()
    assert store.order == [f"{BUNKER}/{name(n)}" for n in (1, 2, 3)]
    assert store.objects[f"{BUNKER}/{name(2)}"] == b"2\n"
    assert list((tmp_path / BUNKER).iterdir()) == [unfinished]


async def test_nothing_is_removed_while_storage_is_away(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path, BUNKER, name(1))
    store.faults = [StoreAway("away"), TimeoutError(), WorkerFault("full"), OSError("odd")]
    task = asyncio.create_task((bringing := uploader(tmp_path, store)).run())
    try:
        while store.faults:
            assert path.exists()
            await asyncio.sleep(0.001)
        await until(lambda: not path.exists())
        await until(lambda: bringing.pending == 0)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert store.order == [f"{BUNKER}/{name(1)}"]
    assert bringing.stored == 1


async def test_an_answer_that_was_lost_costs_nothing(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path, BUNKER, name(1))
    store.faults, store.late = [StoreAway("the answer was lost")], True
    bringing = uploader(tmp_path, store)
    await bringing.bring()
    assert path.exists()
    await bringing.bring()
    assert not path.exists()
    assert store.order == [f"{BUNKER}/{name(1)}"] * 2


async def test_a_bunker_that_is_refused_does_not_hold_others_up(
    tmp_path: Path, store: Store
) -> None:
    kept = write(tmp_path, BUNKER, name(1))
    write(tmp_path, OTHER, name(2))
    store.refused = {f"{BUNKER}/{name(1)}"}
    bringing = uploader(tmp_path, store)
    await bringing.bring()
    assert store.order == [f"{OTHER}/{name(2)}"]
    assert kept.exists()
    store.refused = set()
    await until(lambda: _brought(bringing, kept))


async def _brought(bringing: Uploader, path: Path) -> bool:
    await bringing.bring()
    return not path.exists()


async def test_one_bunkers_many_batches_take_turns(tmp_path: Path, store: Store) -> None:
    for number in range(TURN + 5):
        write(tmp_path, BUNKER, name(number))
    bringing = uploader(tmp_path, store)
    await bringing.bring()
    assert len(store.order) == TURN
    await bringing.bring()
    assert store.order == [f"{BUNKER}/{name(n)}" for n in range(TURN + 5)]


async def test_what_a_forger_puts_there_is_not_followed(tmp_path: Path, store: Store) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's\n")
    spools = tmp_path / "spools"
    spools.mkdir()
    write(spools, BUNKER, name(9))
    (spools / BUNKER / name(1)).symlink_to(secret)
    os.mkfifo(spools / BUNKER / name(2))
    (spools / BUNKER / name(3)).mkdir()
    write(spools, BUNKER, name(4)).open("r+b").truncate(MAX_BATCH_BYTES + 1)
    write(spools, BUNKER, "..-7.ndjson")
    (spools / OTHER).symlink_to(tmp_path)
    write(spools, "not_a_bunker!", name(1))
    await uploader(spools, store).bring()
    assert store.order == [f"{BUNKER}/{name(9)}"]
    assert secret.read_bytes() == b"root's\n"
    folders = Folders(spools)
    with pytest.raises(BadBatch):
        folders.read(BUNKER, name(2))
    with pytest.raises(OSError, match="symbolic links"):
        folders.read(BUNKER, name(1))


async def test_folders_of_bunkers_that_are_gone_go_when_they_are_empty(
    tmp_path: Path, store: Store
) -> None:
    for bunker, batch in ((BUNKER, "newest"), (OTHER, "newest"), ("bnk_cc", name(1) + ".part")):
        path = write(tmp_path, bunker, batch)
        os.utime(path.parent, (1, 1))
    write(tmp_path, "bnk_dd", "newest")  # used lately
    await uploader(tmp_path, store, OTHER).bring()
    assert sorted(path.name for path in tmp_path.iterdir()) == [OTHER, "bnk_cc", "bnk_dd"]


async def test_there_may_be_no_folder_yet(tmp_path: Path, store: Store) -> None:
    bringing = uploader(tmp_path / "none", store)
    await bringing.bring()
    assert bringing.pending == 0


async def test_a_storage_that_hangs_is_given_up(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, BUNKER, name(1))

    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(uploaders, "STORE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(store, "put", hang)
    await uploader(tmp_path, store).bring()
    assert path.exists()
