"""The machine's state folder and its folder of sockets."""

import contextlib
import shutil

from scaibunker.worker.machines.body import Body


class MakeFolders:
    """The state folder is kept on undo: it says what became of the machine until that is asked for."""

    name = "folders"

    async def do(self, body: Body) -> None:
        if not body.saved:
            body.save()
        body.folder.spools.mkdir(mode=0o700, exist_ok=True)
        body.run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)

    async def undo(self, body: Body) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(body.run_dir)
