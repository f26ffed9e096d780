# Generated from _async/quotas.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Quotas: how much users and groups may hold. All but `usage` is for administrators."""

from collections.abc import Iterator
from typing import Unpack

from scaibunker.sdk import _calls
from scaibunker.sdk._calls import Call, checked_id, module_path
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk.options import QuotaProfileChanges, QuotaProfileOptions
from scaibunker.wire.api.quotas import (
    QuotaAssignment,
    QuotaAssignmentCreate,
    QuotaMode,
    QuotaProfile,
    QuotaProfileChange,
    QuotaProfileCreate,
    QuotaTargetKind,
    QuotaUsage,
)


class Quotas:
    """Profiles, whom they are assigned to, and what is used of them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[QuotaProfileOptions],
    ) -> QuotaProfile:
        """Make a profile. It bounds nobody until it is assigned; one of the platform bounds all
        for whom no other applies."""
        call = Call(
            "POST",
            _profiles(),
            body=_calls.body(QuotaProfileCreate, {"name": name, **options}),
            repeatable=True,
            idempotency_key=idempotency_key or _calls.new_key(),
        )
        return self._transport.record(call, QuotaProfile)

    def list(self, *, page_size: int | None = None) -> Iterator[QuotaProfile]:
        """Every profile that the key can see, newest first; pages are fetched as they are needed."""
        call = _calls.get(_profiles(), limit=page_size)
        yield from self._transport.pages(call, QuotaProfile)

    def get(self, profile_id: str) -> QuotaProfile:
        """A profile by its id."""
        return self._transport.record(_calls.get(_profile(profile_id)), QuotaProfile)

    def change(self, profile_id: str, **changes: Unpack[QuotaProfileChanges]) -> QuotaProfile:
        """Change a profile. What is not given stays; a cap of None is taken away. It holds from the
        next create on: what is held already stays held."""
        call = Call(
            "PATCH",
            _profile(profile_id),
            body=_calls.body(QuotaProfileChange, changes),
            repeatable=True,
        )
        return self._transport.record(call, QuotaProfile)

    def delete(self, profile_id: str) -> QuotaProfile:
        """Delete a profile and its assignments. What is held stays held.

        Not sent again by itself when its answer was lost: a second time it would be `NotFound`.
        """
        return self._transport.record(Call("DELETE", _profile(profile_id)), QuotaProfile)

    def assign(
        self,
        profile_id: str,
        target_kind: QuotaTargetKind | str,
        target_id: str,
        *,
        mode: QuotaMode | str | None = None,
    ) -> QuotaAssignment:
        """Have a profile apply to a `user` or a `group`; each has one at most.

        A group's users share its caps (`shared`), unless each of them has them (`per_user`). Doing
        it again changes nothing; another profile, or another mode, raises `Conflict`.
        """
        fields = {"target_kind": target_kind, "target_id": target_id}
        if mode is not None:
            fields["mode"] = mode
        call = Call(
            "POST",
            _profile(profile_id, "assignments"),
            body=_calls.body(QuotaAssignmentCreate, fields),
            repeatable=True,
            idempotency_key=_calls.new_key(),
        )
        return self._transport.record(call, QuotaAssignment)

    def assignments(
        self, profile_id: str, *, page_size: int | None = None
    ) -> Iterator[QuotaAssignment]:
        """Whom a profile applies to, newest first; pages are fetched as they are needed."""
        call = _calls.get(_profile(profile_id, "assignments"), limit=page_size)
        yield from self._transport.pages(call, QuotaAssignment)

    def assignment(self, profile_id: str, assignment_id: str) -> QuotaAssignment:
        """An assignment by its id."""
        call = _calls.get(_assignment(profile_id, assignment_id))
        return self._transport.record(call, QuotaAssignment)

    def unassign(self, profile_id: str, assignment_id: str) -> QuotaAssignment:
        """Have a profile not apply any more. What is held stays held.

        Not sent again by itself when its answer was lost: a second time it would be `NotFound`.
        """
        call = Call("DELETE", _assignment(profile_id, assignment_id))
        return self._transport.record(call, QuotaAssignment)

    def usage(self, *, page_size: int | None = None) -> Iterator[QuotaUsage]:
        """What is held of which allowance, in the order of the buckets' names: the caller's own and
        those that it shares; who may set quotas sees all of the tenant's."""
        call = _calls.get(_profiles("usage"), limit=page_size)
        yield from self._transport.pages(call, QuotaUsage)


def _profiles(*rest: str) -> str:
    return module_path("quota-profiles", *rest)


def _profile(profile_id: str, *rest: str) -> str:
    return _profiles(checked_id("profile id", profile_id), *rest)


def _assignment(profile_id: str, assignment_id: str) -> str:
    return _profile(profile_id, "assignments", checked_id("assignment id", assignment_id))
