"""What callers may say of commands."""

import pytest
from pydantic import ValidationError

from scaibunker.wire.api.execs import SignalRequest


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("SIGTERM", "SIGTERM"),
        ("TERM", "SIGTERM"),
        ("sigusr1", "SIGUSR1"),
        ("RTMIN+3", "SIGRTMIN+3"),
    ],
)
def test_a_signal_has_one_name(said: str, meant: str) -> None:
    assert SignalRequest(signal=said).signal == meant


@pytest.mark.parametrize("said", ["", "SIG", "9", "TERM ", "TERM\n", "-9", 15, None])
def test_what_is_no_name_of_a_signal_is_refused(said: object) -> None:
    with pytest.raises(ValidationError):
        SignalRequest.model_validate({"signal": said})
