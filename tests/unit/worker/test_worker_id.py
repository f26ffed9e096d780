"""The worker's name for life."""

from pathlib import Path

import pytest

from scaibunker.worker.daemon import _worker_id
from scaibunker.worker.errors import WorkerFault


def test_it_is_made_once(tmp_path: Path) -> None:
    made = _worker_id(tmp_path)
    assert made.startswith("wrk_")
    assert _worker_id(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["worker-id"]


@pytest.mark.parametrize("content", ["", "\n", "wrk_", "wrk_../..", "x"])
def test_a_damaged_one_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "worker-id").write_text(content)
    with pytest.raises(WorkerFault, match="does not hold a worker's id"):
        _worker_id(tmp_path)
