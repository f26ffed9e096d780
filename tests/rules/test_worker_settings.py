"""Every setting of the worker daemon is documented, as the code has it."""

import subprocess
import sys
from pathlib import Path

from scaibunker.worker.network.settings import NetworkSettings
from scaibunker.worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_says_what_it_means() -> None:
    sections = (WorkerSettings, NetworkSettings)
    silent = [n for s in sections for n, f in s.model_fields.items() if not f.description]
    assert silent == []


def test_the_page_is_up_to_date() -> None:
    script = ROOT / "scripts" / "generate_worker_reference.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False, cwd=ROOT)
    assert done.returncode == 0, "run `make docs`"
