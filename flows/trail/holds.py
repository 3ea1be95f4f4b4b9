"""Legal holds: what must stay, whoever asks for erasure and whatever time is over."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from flows.errors import InputError, Refused
from flows.trail import housekeeping
from flows.trail.incidents import Incident, addresses
from flows.trail.reader import Trail
from flows.trail.schema import INSIGHTS, PARTS, stamp

HOLDS: Final = "holds"
_SUBJECTS: Final = tuple(f"{part}_id" for part in PARTS)


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Who ended a hold, when, and why."""

    time: str
    by: str
    reason: str


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What is held: a tenant's rows, or those about some subjects or from some addresses, within a range of time.

    Subjects and addresses are what rows carry of them, hexadecimal; `start` is inclusive, `end` exclusive,
    microseconds UTC, None where open. `whole` is true where all rows of the tenant are held.
    """

    id: str
    of: Literal["user", "incident", "tenant"]
    tenant: str
    whole: bool
    subjects: tuple[str, ...]
    addresses: tuple[str, ...]
    incident: str | None
    start: int | None
    end: int | None
    reason: str
    by: str
    time: str
    released: Release | None = None


class _Change(msgspec.Struct, omit_defaults=True):
    """A row of the table: a hold that was added, or one that was released."""

    added: Hold | None = None
    id: str = ""
    released: Release | None = None


def history(trail: Trail) -> list[Hold]:
    """All holds there ever were, oldest first.

    Raises
    ------
    InputError
        The table cannot be read.
    """
    found: dict[str, Hold] = {}
    for change in trail.own(HOLDS, _Change):
        if change.added:
            found[change.added.id] = change.added
        elif change.id in found:
            found[change.id] = msgspec.structs.replace(found[change.id], released=change.released)
    return list(found.values())


def active(trail: Trail) -> list[Hold]:
    """The holds that are not released."""
    return [hold for hold in history(trail) if hold.released is None]


def of_user(tenant: str, ids: Sequence[bytes], start: int | None, end: int | None, reason: str, by: str) -> Hold:
    """A hold on what is kept of a person."""
    return _hold("user", tenant, start, end, reason, by, subjects=ids)


def of_tenant(tenant: str, start: int | None, end: int | None, reason: str, by: str) -> Hold:
    """A hold on all that is a tenant's."""
    return _hold("tenant", tenant, start, end, reason, by, whole=True)


def of_incident(trail: Trail, incident: Incident, start: int | None, end: int | None, reason: str, by: str) -> Hold:
    """A hold on an incident: on whom and what it was about, within its time.

    Where it was about neither a user nor an address (a tenant's sign-ups, an endpoint's errors), on all of its tenant.
    """
    ids = list(incident.subjects)
    for name in incident.of("user"):
        ids += [subject.id for subject in trail.keys.find(incident.tenant, name)] if trail.keys else []
    tokens = [
        trail.keys.token(incident.tenant, "ip", address)
        for entity in incident.of("ip")
        for address in addresses(trail, incident.tenant, entity, incident.start, incident.end)
        if trail.keys
    ]
    return _hold(
        "incident", incident.tenant, incident.start if start is None else start,
        incident.end if end is None else end, reason, by,
        whole=not incident.of("user") and not incident.of("ip"), subjects=ids, addresses=tokens, incident=incident.uid,
    )  # fmt: skip


def add(trail: Trail, hold: Hold) -> None:
    """Put a hold in force.

    Raises
    ------
    OutputError
        It cannot be written: nothing is held by it.
    """
    _write(trail, hold, _Change(added=hold))


def release(trail: Trail, id_: str, reason: str, by: str) -> Hold:
    """End a hold; it stays in the history.

    Raises
    ------
    InputError
        There is no such hold.
    Refused
        It is released already.
    """
    hold = next((hold for hold in history(trail) if hold.id == id_), None)
    if hold is None:
        raise InputError(f"no hold {id_} in {trail.place}; `lapwing hold list --all` shows those there are")
    if hold.released:
        raise Refused(f"hold {id_} was released at {hold.released.time} by {hold.released.by}")
    ended = Release(time=stamp(housekeeping.now()), by=by, reason=reason)
    _write(trail, hold, _Change(id=id_, released=ended))
    return msgspec.structs.replace(hold, released=ended)


def over_subject(trail: Trail, holds: Iterable[Hold], tenant: str, ids: Sequence[bytes]) -> list[Hold]:
    """The holds that something of a person is under: the person itself, or rows about it that are held for another."""
    whose = set(ids)
    return [
        hold
        for hold in holds
        if hold.tenant == tenant
        and (whose & _ids(trail, hold) or ((hold.whole or hold.addresses) and _has_rows(trail, hold, whose)))
    ]


def held_days(trail: Trail, hold: Hold, kind: str) -> Iterator[tuple[str, str]]:
    """The (tree, day) of a table that have rows under a hold."""
    columns = ["tree"]
    for want in _wanted(trail, hold, kind):
        for file, batch in trail.stored(kind, columns, want, tenant=hold.tenant, start=hold.start, end=hold.end):
            if batch.num_rows:
                yield file.tree, file.day


def held_rows(trail: Trail, hold: Hold) -> tuple[set[bytes], set[bytes]]:
    """The ids and the tokens of addresses whose rows are held, where not all are."""
    return _ids(trail, hold), {bytes.fromhex(token) for token in hold.addresses}


def _hold(
    of: Literal["user", "incident", "tenant"], tenant: str, start: int | None, end: int | None, reason: str, by: str,
    *, whole: bool = False, subjects: Iterable[bytes] = (), addresses: Iterable[bytes] = (),
    incident: str | None = None,
) -> Hold:  # fmt: skip
    return Hold(
        id=os.urandom(6).hex(), of=of, tenant=tenant, whole=whole,
        subjects=tuple(sorted({id_.hex() for id_ in subjects})),
        addresses=tuple(sorted({token.hex() for token in addresses})),
        incident=incident, start=start, end=end, reason=reason, by=by, time=stamp(housekeeping.now()),
    )  # fmt: skip


def _write(trail: Trail, hold: Hold, change: _Change) -> None:
    if trail.keys is None:
        raise InputError("holds are kept sealed: --keys DIR")
    whose = bytes.fromhex(hold.subjects[0]) if hold.subjects else None
    entry = housekeeping.Entry(hold.tenant, hold.id, msgspec.to_builtins(change), whose)
    housekeeping.append(trail.place, HOLDS, trail.keys, [entry])


def _ids(trail: Trail, hold: Hold) -> set[bytes]:
    """Whom a hold is on, with what became of the same persons since."""
    ids = [bytes.fromhex(id_) for id_ in hold.subjects]
    return trail.keys.persons(ids) if trail.keys else set(ids)


def _wanted(trail: Trail, hold: Hold, kind: str) -> list[dict[str, list[bytes]] | None]:
    """What rows of a table are held: None for all."""
    if hold.whole:
        return [None]
    ids, tokens = held_rows(trail, hold)
    if kind == INSIGHTS:  # counts of many are nobody's
        return []
    columns: Any = _SUBJECTS if kind == "events" else ("user_id", "subjects")
    wanted: dict[str, list[bytes]] = {column: sorted(ids) for column in columns} if ids else {}
    return [wanted | ({"ip_token": sorted(tokens)} if tokens else {})]


def _has_rows(trail: Trail, hold: Hold, whose: set[bytes]) -> bool:
    """Whether a person has events that are held as a tenant's or an address'."""
    want = {column: sorted(whose) for column in _SUBJECTS}
    tokens = {bytes.fromhex(token) for token in hold.addresses}
    for _, batch in trail.stored("events", ["ip_token"], want, tenant=hold.tenant, start=hold.start, end=hold.end):
        if batch.num_rows and (hold.whole or tokens.intersection(batch.column(0).to_pylist())):
            return True
    return False
