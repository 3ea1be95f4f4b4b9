"""Erasing a person: the keys are destroyed, and the trail says that they were."""

import os
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from flows.errors import Refused
from flows.trail import holds, housekeeping
from flows.trail.keys import KeyStore
from flows.trail.reader import Trail
from flows.trail.schema import ARCHIVED, PARTS, stamp

ERASURES: Final = "erasures"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """That a person was erased: by the ids that rows carry, which lead to nobody any more.

    `rows` are those of each table that are about the person. `destroyed` is when the keys were gone, None where the
    erasure was begun and not yet finished.
    """

    id: str
    tenant: str
    subjects: tuple[str, ...]
    rows: dict[str, int]
    reason: str
    by: str
    time: str
    destroyed: str | None = None


class _Change(msgspec.Struct, omit_defaults=True):
    """A row of the table: an erasure that is begun, or one that is done."""

    begun: Erasure | None = None
    id: str = ""
    destroyed: str | None = None


def history(trail: Trail) -> list[Erasure]:
    """All erasures, oldest first.

    Raises
    ------
    InputError
        The table cannot be read.
    """
    found: dict[str, Erasure] = {}
    for change in trail.own(ERASURES, _Change):
        if change.begun:
            found[change.begun.id] = change.begun
        elif change.id in found:
            found[change.id] = msgspec.structs.replace(found[change.id], destroyed=change.destroyed)
    return list(found.values())


def rows_about(trail: Trail, ids: Sequence[bytes], tenant: str) -> dict[str, int]:
    """How many rows of each table are about a person."""
    counts = {}
    for kind in ARCHIVED:
        if trail.has(kind):
            columns = [f"{part}_id" for part in PARTS] if kind == "events" else ["user_id", "subjects"]
            want = {column: list(ids) for column in columns}
            counts[kind] = sum(batch.num_rows for _, batch in trail.stored(kind, ["time"], want, tenant=tenant))
    return {kind: count for kind, count in counts.items() if count}


def in_the_way(trail: Trail, tenant: str, ids: Sequence[bytes]) -> list[holds.Hold]:
    """The holds in force that forbid the erasure of a person."""
    return holds.over_subject(trail, holds.active(trail), tenant, ids)


def erase(trail: Trail, keys: KeyStore, tenant: str, name: str, reason: str, by: str) -> Erasure:
    """Destroy a person's keys, and record it: that it is going to be done, then that it is.

    What was sealed for the person, in the trail and in every copy of it, is opened by nobody from then on; the rows
    themselves stay as they are, so all proofs hold. It cannot be taken back.

    Raises
    ------
    Refused
        A hold is on the person, or on rows about it.
    OutputError
        It cannot be recorded (nothing was destroyed then), or the key store cannot be written.
    """
    ids = [subject.id for subject in keys.find(tenant, name)]
    if held := in_the_way(trail, tenant, ids):
        raise Refused(refusal(held))
    begun = Erasure(
        id=os.urandom(6).hex(),
        tenant=tenant,
        subjects=tuple(id_.hex() for id_ in ids),
        rows=rows_about(trail, ids, tenant),
        reason=reason,
        by=by,
        time=stamp(housekeeping.now()),
    )
    _write(trail, keys, begun, _Change(begun=begun))
    keys.destroy(tenant, name)
    return _done(trail, keys, begun)


def settle(trail: Trail, keys: KeyStore) -> list[Erasure]:
    """Finish erasures that a crash has cut off: what is still there of the persons' keys is destroyed, and that it is
    done is noted. Those that are done now; one that a hold forbids by now stays as it was begun.

    Raises
    ------
    InputError
        The trail cannot be read.
    OutputError
        It cannot be recorded, or the key store cannot be written.
    """
    done = []
    for one in history(trail):
        if one.destroyed is None:
            ids = sorted(keys.persons(bytes.fromhex(id_) for id_ in one.subjects))
            if keys.keys(ids) and in_the_way(trail, one.tenant, ids):
                continue
            keys.destroy_all(ids)
            done.append(_done(trail, keys, one))
    return done


def refusal(held: Iterable[holds.Hold]) -> str:
    """Why nothing is erased, in a line."""
    named = ", ".join(f"{hold.id} ({hold.of}, since {hold.time[:10]}, by {hold.by})" for hold in held)
    return f"nothing is erased: held by {named}"


def _done(trail: Trail, keys: KeyStore, begun: Erasure) -> Erasure:
    destroyed = stamp(housekeeping.now())
    _write(trail, keys, begun, _Change(id=begun.id, destroyed=destroyed))
    return msgspec.structs.replace(begun, destroyed=destroyed)


def _write(trail: Trail, keys: KeyStore, erasure: Erasure, change: _Change) -> None:
    whose = bytes.fromhex(erasure.subjects[0]) if erasure.subjects else None
    entry = housekeeping.Entry(erasure.tenant, erasure.id, msgspec.to_builtins(change), whose)
    housekeeping.append(trail.place, ERASURES, keys, [entry])
