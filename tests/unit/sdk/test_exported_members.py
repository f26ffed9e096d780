"""What the SDK promises: its names, and that they are no less and no more than meant."""

import inspect

import scaibunker.sdk as sdk
from scaibunker.sdk import errors
from scaibunker.sdk._async.api_keys import AsyncApiKeys
from scaibunker.sdk._async.audit import AsyncAuditLog
from scaibunker.sdk._async.bunkers import AsyncBunkers
from scaibunker.sdk._async.quotas import AsyncQuotas
from scaibunker.sdk._async.snapshots import AsyncSnapshots
from scaibunker.sdk._async.workers import AsyncWorkers
from scaibunker.sdk._sync.api_keys import ApiKeys
from scaibunker.sdk._sync.audit import AuditLog
from scaibunker.sdk._sync.bunkers import Bunkers
from scaibunker.sdk._sync.quotas import Quotas
from scaibunker.sdk._sync.snapshots import Snapshots
from scaibunker.sdk._sync.workers import Workers


def test_every_name_is_there_and_sorted_as_ruff_wants() -> None:
    assert len(set(sdk.__all__)) == len(sdk.__all__)
    for name in sdk.__all__:
        assert hasattr(sdk, name), name


def test_nothing_public_is_left_out() -> None:
    public = {
        name
        for name, value in vars(sdk).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(sdk.__all__)


def test_every_exception_is_exported_and_in_the_tree() -> None:
    for name in errors.__all__:
        assert name in sdk.__all__
        assert f"─ {name} " in errors.__doc__ or name == "ScaiBunkerError"
        assert issubclass(getattr(errors, name), errors.ScaiBunkerError)
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.ScaiBunkerError)
    }
    assert defined == set(errors.__all__)


def test_both_clients_have_the_same_members() -> None:
    def members(owner: object) -> set[str]:
        return {name for name in dir(owner) if not name.startswith("_")}

    pairs = [
        (sdk.AsyncBunker, sdk.Bunker),
        (sdk.AsyncExecs, sdk.Execs),
        (sdk.AsyncExecution, sdk.Execution),
        (sdk.AsyncFiles, sdk.Files),
        (sdk.AsyncExecStream, sdk.ExecStream),
        (AsyncBunkers, Bunkers),
        (AsyncApiKeys, ApiKeys),
        (AsyncAuditLog, AuditLog),
        (AsyncQuotas, Quotas),
        (AsyncWorkers, Workers),
        (AsyncSnapshots, Snapshots),
    ]
    for one, other in pairs:
        assert members(one) == members(other)
    assert members(sdk.AsyncClient) - {"aclose"} == members(sdk.Client) - {"close"}


def test_every_public_name_is_explained() -> None:
    for name in sdk.__all__:
        value = getattr(sdk, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name
