"""Events to rows of the trail: what is plain in columns, what is personal sealed for each subject."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.formats.lapwing import Decoded
from flows.trail.keys import ID_BYTES, KeyStore, Names, before
from flows.trail.leaf_bytes import leaf_hashes, pieces_of
from flows.trail.many import HASH_BYTES, TOKEN_BYTES, seal_all, sha256_all, tokens_of
from flows.trail.members import SLOT, Texts, Told, arrow
from flows.trail.schema import ACTOR, EVENTS, OF_ACTOR, OF_TARGET, OF_USER, STRINGS, TARGET, USER, day_of
from flows.trail.seal import KEY_BYTES
from flows.trail.trees import Trees
from models.base import ACTIONS, ENDPOINT, METHODS, NONE_TIME, OUTCOMES, REASONS, TENANT
from models.kernels.distinct import ABOUT, DID, TO, named, numbered, whom

DAY: Final = 86_400_000_000


class Scored(msgspec.Struct, gc=False):
    """What Lapwing added to a scored event."""

    risk: int | None
    late: bool | None
    text: str | None


_AT_ONCE: Final = 8_192
_BYTES: Final = 32 << 20
"""Events that become rows at a time, and about how long they are together."""
_OWN_NAMES: Final = ("user", "username", "actor", "target", "session", "api_key", "request_id")
"""Members that a path may have as parts, and that its plain form must not have."""
_ADDED: Final = ("risk", "late", "lapwing")
_WHOM: Final = ("user", "username", "actor", "target")
_OF_SUBJECT: Final = ("user", "username")
_MARK: Final = np.dtype((np.void, TOKEN_BYTES))
_ARRAY: Final = 0x90
"""The head of a short MessagePack array, with its length."""


class _Place(NamedTuple):
    """Where rows belong."""

    log: str
    tenants: list[str]
    tenant: NDArray[np.int64]
    tree: list[str]
    leaf: NDArray[np.int64]


def event_table(
    batch: Decoded, kept: Texts, told: Told, scored: Sequence[Scored], log: str, keys: KeyStore, trees: Trees
) -> pa.Table:
    """The rows of a batch as they are stored, with their places in the trees of their tenants.

    `kept` are the messages that are kept raw, `told` their canonical members; `scored` what Lapwing added to each,
    empty where the input is raw events; `trees` says where each tenant's rows grow, and is moved on. About fifteen
    microseconds an event, a third of it AES and SHA-256.

    Raises
    ------
    OutputError
        The key store cannot be written.
    """
    tenants, tenant = _names(batch, TENANT)
    tree, leaf = trees.take(tenants, tenant, log)
    place = _Place(log, tenants, tenant, tree, leaf)
    people = _People(told, place, keys)
    paths = _paths(batch, told)
    pieces = [_rows(batch, kept, told, scored, place, people, paths, some, keys) for some in _pieces(kept)]
    return pa.Table.from_batches(pieces, EVENTS)


def _pieces(kept: Texts) -> Iterator[slice]:
    """Rows that are taken at a time: so that they fit into a core's cache, and into Arrow's offsets of 32 bits."""
    ends = np.cumsum(kept.length)
    at = 0
    while at < len(kept):
        before = int(ends[at - 1]) if at else 0
        end = max(at + 1, min(at + _AT_ONCE, int(np.searchsorted(ends, before + _BYTES, "right"))))
        yield slice(at, end)
        at = end


def _rows(
    batch: Decoded,
    kept: Texts,
    told: Told,
    scored: Sequence[Scored],
    place: _Place,
    people: "_People",
    paths: pa.Array,
    some: slice,
    keys: KeyStore,
) -> pa.RecordBatch:
    """Some of a batch's rows."""
    own = told.some(some)
    n = len(own)
    tenant, tenants = place.tenant[some], pa.array(place.tenants, pa.string())
    received = batch.record_time[some]
    status, asn, latency = batch.status[some], own.numbers("asn"), own.numbers("latency_ms")
    whole = (asn >= 0) & (asn < 1 << 32) & (asn == np.floor(asn))
    added = (
        zip(*((one.risk, one.late, one.text) for one in scored[some]), strict=True)
        if scored
        else (pa.nulls(n, EVENTS.field(name).type) for name in _ADDED)
    )
    columns: dict[str, Any] = {
        "tree": pa.array(place.tree, pa.string()).take(tenant),
        "day": days(batch.time[some]),
        "tenant": tenants.take(tenant),
        "log": pa.repeat(place.log, n),
        "leaf": place.leaf[some],
        "offset": batch.offset[some],
        "index": batch.index[some],
        "time": _times(batch.time[some]),
        "received": _times(received, received == NONE_TIME),
        "id": own.texts("id"),
        "action": _words(ACTIONS, batch.action[some]),
        "outcome": _words(OUTCOMES, batch.outcome[some]),
        "reason": _words(REASONS, batch.reason[some]),
        "method": _words(METHODS, batch.method[some]),
        "endpoint": paths[some],
        **{name: own.texts(name) for name in STRINGS},
        "status": pa.array(status, mask=status == 0),
        "asn": pa.array(np.where(whole, asn, 0).astype(np.int64), mask=~whole),
        "latency_ms": pa.array(latency, mask=~own.has("latency_ms")),
        **dict(zip(_ADDED, added, strict=True)),
        **{f"{part}_id": people.ids(part, some) for part in (USER, ACTOR, TARGET)},
        "ip_token": _tokens(own, "ip", "ip", place.tenants, tenant, keys),
        "session_token": _tokens(own, "session", "session", place.tenants, tenant, keys),
        "request_token": _tokens(own, "request_id", "request", place.tenants, tenant, keys),
        **{f"{part}_sealed": people.sealed(part, own, some) for part in (USER, ACTOR, TARGET)},
    }
    raw = people.raw(kept, some)
    every = np.ones(n, np.bool_)
    hashes = sha256_all(pieces_of(raw))
    # As a leaf's hash has them.
    columns |= {"raw": pa.nulls(n), "raw_hash": arrow(pa.binary(HASH_BYTES), every, hashes)}
    made = {
        name: column if isinstance(column, pa.Array) else pa.array(column, EVENTS.field(name).type)
        for name, column in columns.items()
    }
    made["leaf_hash"] = arrow(pa.binary(HASH_BYTES), every, leaf_hashes(list(made.values())))
    made |= {"raw": raw, "raw_hash": pa.nulls(n, pa.binary(HASH_BYTES))}
    return pa.record_batch([made[field.name] for field in EVENTS], schema=EVENTS)


class _People:
    """Whom the events of a batch are about, and with whose keys what is personal in them is sealed."""

    def __init__(self, told: Told, place: _Place, keys: KeyStore) -> None:
        n = len(told)
        self._did, self._to = np.empty(n, np.bool_), np.empty(n, np.uint8)
        whom(*told.spans, np.array([SLOT[name] for name in _WHOM]), self._did, self._to)
        about = told.has("user") | told.has("username")
        whose = (
            (about, _OF_SUBJECT),
            (self._did, ("actor",)),
            (self._to == TO, ("target",)),
        )
        self._who = np.zeros((3, n), np.int64)  # 0 is nobody
        marks: list[bytes] = []
        named: list[tuple[NDArray[np.int64], tuple[str, ...]]] = []
        for part, (rows, members) in enumerate(whose):
            which, first = told.distinct(members, np.flatnonzero(rows), place.tenant)
            self._who[part, rows] = which + 1 + len(marks)
            marks += _marks(told, first, members, place, keys)
            named.append((first, members))
        for how, part in ((ABOUT, 0), (DID, 1)):
            self._who[2] = np.where(self._to == how, self._who[part], self._who[2])
        ids_keys = keys.known(marks)
        new = [at for at, one in enumerate(ids_keys) if not one]
        names = _names_of(told, named, new, place)
        made = keys.subjects(names)
        for at, one in zip(new, names, strict=True):
            ids_keys[at] = b"".join(made[one])
        keys.know([marks[at] for at in new], [ids_keys[at] for at in new])
        every = np.frombuffer(b"".join((bytes(ID_BYTES), keys.general, *ids_keys)), np.uint8)
        every = every.reshape(-1, ID_BYTES + KEY_BYTES)
        self._ids, self._keys = every[:, :ID_BYTES], np.ascontiguousarray(every[:, ID_BYTES:])

    def ids(self, part: str, some: slice) -> pa.Array:
        """The ids of those whom events are about, of who did it, or of their objects."""
        who = self._who[_PARTS[part], some]
        return arrow(pa.binary(ID_BYTES), who > 0, self._ids[who])

    def sealed(self, part: str, own: Told, some: slice) -> pa.Array:
        """What events say of one of these, sealed."""
        user, actor, target = self._who[:, some]
        who = {USER: user, ACTOR: actor, TARGET: target}[part]
        alone = (user > 0) & ~self._did[some]  # whoever the event is about did it
        there = who > 0
        room = own.room()
        if part == USER:
            rows, pair = np.flatnonzero(there & ~alone), np.flatnonzero(alone)
            own.packed((_ARRAY + 1, _ARRAY + len(OF_USER)), OF_USER, rows, room)
            own.packed((_ARRAY + 2, _ARRAY + len(OF_USER)), OF_USER, pair, room)
            own.packed((_ARRAY + len(OF_ACTOR),), OF_ACTOR, pair, room)
        elif part == ACTOR:
            there = there | (user == 0)
            own.packed((_ARRAY + 1, _ARRAY + len(OF_ACTOR)), OF_ACTOR, np.flatnonzero(there), room)
        else:
            own.packed((_ARRAY + 1, _ARRAY + len(OF_TARGET)), OF_TARGET, np.flatnonzero(there), room)
        return seal_all(self._keys, who[None], room.pieces(), there, part.encode())

    def raw(self, kept: Texts, some: slice) -> pa.Array:
        """The messages, sealed for all whom they are about."""
        pieces = kept.some(some).pieces()
        return seal_all(self._keys, self._who[:, some], pieces, np.ones(len(pieces), np.bool_), b"raw")


_PARTS: Final = {USER: 0, ACTOR: 1, TARGET: 2}


def _marks(
    told: Told, first: NDArray[np.int64], members: tuple[str, ...], place: _Place, keys: KeyStore
) -> list[bytes]:
    """What stands for the names in some rows, and for their tenants: the same for the same, and for nothing else."""
    tenants = [before(one, "names") for one in place.tenants]
    pieces = told.packed_of((_ARRAY + len(members),), members, first)
    marks: Any = tokens_of(keys.indexing, tenants, place.tenant[first], pieces).view(_MARK).ravel().tolist()
    return list(marks)


def _names_of(
    told: Told, named: Sequence[tuple[NDArray[np.int64], tuple[str, ...]]], wanted: Sequence[int], place: _Place
) -> list[Names]:
    """The names of some subjects, by their numbers in all that rows name."""
    names: list[Names] = []
    at = 0
    for first, members in named:
        rows = first[[number - at for number in wanted if at <= number < at + len(first)]]
        at += len(first)
        tenants = [place.tenants[number] for number in place.tenant[rows].tolist()]
        texts = [told.strings(name, rows) for name in members]
        names += zip(tenants, texts[0], texts[-1] if len(texts) > 1 else [""] * len(rows), strict=True)
    return names


def _tokens(own: Told, name: str, kind: str, tenants: list[str], tenant: NDArray[np.int64], keys: KeyStore) -> pa.Array:
    """The tokens of a member that rows are found by."""
    there = own.has(name)
    rows = first = np.flatnonzero(there)
    which = np.arange(len(rows))
    if kind == "ip":  # the others hardly come twice
        which, first = own.distinct((name,), rows, tenant)
    each = tokens_of(keys.indexing, [before(one, kind) for one in tenants], tenant[first], own.pieces(name, first))
    out = np.zeros((len(own), ID_BYTES), np.uint8)
    out[rows] = each[which]
    if kind == "ip":  # an address with a colon can be written in several ways
        several = np.flatnonzero(own.holding(name, ord(":")))
        written = zip(tenant[several].tolist(), own.strings(name, several), strict=True)
        found = b"".join(keys.address(tenants[of], text) for of, text in written)
        out[several] = np.frombuffer(found, np.uint8).reshape(-1, ID_BYTES)
    return arrow(pa.binary(ID_BYTES), there, out)


def _paths(batch: Decoded, told: Told) -> pa.Array:
    """The endpoints, none with a name of its event in it; empty where there is none."""
    each, which = _names(batch, ENDPOINT)
    found = np.empty(len(told), np.bool_)
    slots = np.array([SLOT[name] for name in _OWN_NAMES])
    starts, lengths = (np.ascontiguousarray(of[ENDPOINT]) for of in (batch.name_start, batch.name_length))
    named(*told.spans, slots, batch.names, starts, lengths, found)
    rows = np.flatnonzero(found)
    own = zip(*(told.strings(name, rows) for name in _OWN_NAMES), strict=True)
    plain = [nameless(each[path], names) for path, names in zip(which[rows].tolist(), own, strict=True)]
    which[rows] = np.arange(len(each), len(each) + len(plain))
    return pa.array([*each, *plain], pa.string()).take(which)


def nameless(path: str, names: Sequence[str]) -> str:
    """A path without the names that its event has: they are no identifiers to whoever made the template.

    >>> nameless("/users/sam/keys/me%40example.com", ["Sam", ""])
    '/users/{id}/keys/{id}'
    """
    own = [name.casefold() for name in names if name]
    parts = ((part, unquote(part).casefold()) for part in path.split("/"))
    return "/".join("{id}" if "@" in plain or plain in own else part for part, plain in parts)


def _times(times: NDArray[np.int64], mask: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(times, mask=mask).cast(EVENTS.field("time").type)


def _words(words: Sequence[str], codes: NDArray[np.uint8]) -> pa.Array:
    return pa.array([word or None for word in words], pa.string()).take(pa.array(codes))


def _names(batch: Decoded, dimension: int) -> tuple[list[str], NDArray[np.int64]]:
    """The entities in a dimension as they come, empty where there is none; and which is each row's."""
    which, first = numbered(batch.entity[dimension].view(np.int64))
    starts, lengths = batch.name_start[dimension, first].tolist(), batch.name_length[dimension, first].tolist()
    texts = [batch.names[at : at + size].tobytes().decode() for at, size in zip(starts, lengths, strict=True)]
    return texts, which


def days(times: NDArray[np.int64]) -> pa.Array:
    """The partitions of times in microseconds UTC."""
    which, first = numbered(times // DAY)
    return pa.array([day_of(time) for time in times[first].tolist()], pa.string()).take(which)
