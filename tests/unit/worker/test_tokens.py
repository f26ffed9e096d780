"""The worker token as a setting, on both sides."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from scaibunker.controller.settings import WorkerSettings as ControllerSide
from scaibunker.wire.worker.tokens import tokens_of
from scaibunker.worker.settings import WorkerSettings

ONE, TWO = "swt_" + "a" * 20, "swt_" + "b" * 20


@pytest.mark.parametrize(
    ("setting", "tokens"),
    [
        (ONE, (ONE,)),
        (f"{ONE},{TWO}", (ONE, TWO)),
        (f" {ONE} , {TWO} ", (ONE, TWO)),
        (f'["{ONE}", "{TWO}"]', (ONE, TWO)),
    ],
)
def test_one_or_several(setting: str, tokens: tuple[str, ...], tmp_path: Path) -> None:
    assert tokens_of(setting) == tokens
    assert ControllerSide(worker_token=SecretStr(setting)).tokens == tokens
    assert WorkerSettings(token=SecretStr(setting), data_dir=tmp_path).tokens == tokens


@pytest.mark.parametrize("setting", ["", ",", f"{ONE},", "[]", '[""]', "[1]", "[", f'["{ONE}"'])
def test_what_is_no_token(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="token"):
        tokens_of(setting)
    with pytest.raises(ValidationError):
        ControllerSide(worker_token=SecretStr(setting))
    with pytest.raises(ValidationError):
        WorkerSettings(token=SecretStr(setting), data_dir=tmp_path)


def test_a_short_one_among_them_is_refused_by_the_controller() -> None:
    with pytest.raises(ValidationError, match="16 characters"):
        ControllerSide(worker_token=SecretStr(f"{ONE},short"))
