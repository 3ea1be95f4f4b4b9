"""Events to rows of the trail: what is plain in columns, what is personal sealed for each subject."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta
from msgspec.structs import astuple
from numpy.typing import NDArray

from flows.formats.canonical import members
from flows.formats.lapwing import Decoded
from flows.trail.keys import KeyStore, Names, Subject, digest
from flows.trail.schema import EVENTS, OF_ACTOR, OF_USER, STRINGS, day_of, leaf_hash
from flows.trail.seal import nonces, sealed
from flows.trail.trees import Trees
from models.base import ACTIONS, ENDPOINT, METHODS, NONE_TIME, OUTCOMES, REASONS, TENANT

_Text = str | None
_Number = float | None
_DAY: Final = 86_400_000_000


class Members(msgspec.Struct, gc=False):
    """The canonical members of one event that columns of the flow do not have: the personal ones as they are sealed."""

    user: _Text = None
    username: _Text = None
    changes: list[Any] | None = None
    actor: _Text = None
    api_key: _Text = None
    ip: _Text = None
    city: _Text = None
    lat: _Number = None
    lon: _Number = None
    device: _Text = None
    user_agent: _Text = None
    session: _Text = None
    request_id: _Text = None
    error: _Text = None
    endpoint: _Text = None
    target: _Text = None
    id: _Text = None
    error_code: _Text = None
    factor: _Text = None
    actor_type: _Text = None
    ip_type: _Text = None
    asn: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)] | None = None
    country: _Text = None
    app: _Text = None
    app_version: _Text = None
    latency_ms: _Number = None


_OWN: Final = slice(0, len(OF_USER))
_DID: Final = slice(len(OF_USER), len(OF_USER) + len(OF_ACTOR))
assert Members.__struct_fields__[: _DID.stop] == (*OF_USER, *OF_ACTOR)


class Scored(msgspec.Struct, gc=False):
    """What Lapwing added to a scored event."""

    risk: int | None
    late: bool | None
    text: str | None


_AT_ONCE: Final = 512
"""Events whose members are objects at a time: more of them do not fit into a core's cache."""
_ENDPOINT: Final = EVENTS.names.index("endpoint")
_USER, _ACTOR, _TARGET, _RAW = b"user", b"actor", b"target", b"raw"
_sha256 = hashlib.sha256
_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(Members).decode


def read(message: bytes, noted: bool) -> Members:
    """The canonical members of a message that has become a row; `noted` if some of it was ignored or repaired."""
    if not noted:
        try:
            return _decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    found = members(message)
    asn, latency = found.get("asn"), found.get("latency_ms")
    found["asn"] = int(asn) if isinstance(asn, int | float) and 0 <= asn < 1 << 32 and asn == int(asn) else None
    found["latency_ms"] = None if latency is None else float(latency)
    return Members(**{name: value for name, value in found.items() if name in Members.__struct_fields__})


def event_table(
    batch: Decoded,
    messages: Sequence[bytes],
    canonical: Sequence[bytes],
    scored: Sequence[Scored],
    log: str,
    keys: KeyStore,
    trees: Trees,
) -> pa.Table:
    """The rows of a batch as they are stored, with their places in the trees of their tenants.

    `messages` are what is kept raw, `canonical` what their members are read from; `scored` what Lapwing added to each,
    empty where the input is raw events; `trees` says where each tenant's rows grow, and is moved on. About fifteen
    microseconds an event.

    Raises
    ------
    OutputError
        The key store cannot be written.
    """
    tenants, endpoints = _names(batch, TENANT), _names(batch, ENDPOINT)
    grown, leaves = trees.take(tenants, log)
    noted = (batch.note_length > 0).tolist()
    events_ = [read(*each) for each in zip(canonical, noted, strict=True)]
    whom_ = [_whom(tenant, event) for tenant, event in zip(tenants, events_, strict=True)]
    # All at once, for new keys are made durable before anything is sealed with them.
    subjects = keys.subjects(dict.fromkeys(name for three in whom_ for name in three if name is not None))
    pieces = []
    for at in range(0, max(1, len(messages)), _AT_ONCE):
        some = slice(at, at + _AT_ONCE)
        events = events_[some]
        members_ = [astuple(event) for event in events]
        of = tenants[some]
        columns = _plain(batch, some, members_, scored[some])
        columns[:0] = [grown[some], days(batch.time[some]), of, [log] * len(of), leaves[some]]
        columns[_ENDPOINT] = [nameless(path, event) for path, event in zip(endpoints[some], events, strict=True)]
        columns += _sealed(events, members_, messages[some], of, whom_[some], subjects, keys)
        raws = columns.pop()
        nothing: list[None] = [None] * len(of)
        columns += [nothing, [_sha256(raw).digest() for raw in raws]]  # as a leaf's hash has them
        columns.append([leaf_hash(row) for row in zip(*columns, strict=True)])
        columns[-3:-1] = raws, nothing
        arrays = [pa.array(column, field.type) for column, field in zip(columns, EVENTS, strict=True)]
        pieces.append(pa.record_batch(arrays, schema=EVENTS))
    return pa.Table.from_batches(pieces, EVENTS)


def nameless(path: str, event: Members) -> str:
    """A path without the names that its event has: they are no identifiers to whoever made the template.

    >>> nameless("/users/sam/keys/me%40example.com", Members(user="Sam"))
    '/users/{id}/keys/{id}'
    """
    folded = path.casefold()
    names = (event.user, event.username, event.actor, event.target, event.session, event.api_key, event.request_id)
    own = [name.casefold() for name in names if name]
    if not any(name in folded for name in own) and "@" not in folded and "%" not in folded:
        return path
    parts = ((part, unquote(part).casefold()) for part in path.split("/"))
    return "/".join("{id}" if "@" in plain or plain in own else part for part, plain in parts)


def _plain(
    batch: Decoded, some: slice, events: Sequence[tuple[Any, ...]], scored: Sequence[Scored]
) -> list[Sequence[Any]]:
    """The columns from `offset` to `lapwing`, of some of a batch's rows."""
    n = len(events)
    received = batch.record_time[some].tolist()
    own = dict(zip(Members.__struct_fields__, zip(*events, strict=True), strict=True)) if events else {}
    added = zip(*map(astuple, scored), strict=True) if scored else [[None] * n] * len(Scored.__struct_fields__)
    return [
        batch.offset[some].tolist(), batch.index[some].tolist(), batch.time[some].tolist(),
        [time if time != NONE_TIME else None for time in received],
        own["id"], _words(ACTIONS, batch.action[some]), _words(OUTCOMES, batch.outcome[some]),
        _words(REASONS, batch.reason[some]), _words(METHODS, batch.method[some]), [], *(own[name] for name in STRINGS),
        [status or None for status in batch.status[some].tolist()], own["asn"], own["latency_ms"], *added,
    ]  # fmt: skip


def _sealed(
    events: Sequence[Members],
    members_: Sequence[tuple[Any, ...]],
    messages: Sequence[bytes],
    tenants: Sequence[str],
    whom: Sequence[tuple[Names | None, Names | None, Names | None]],
    subjects: Mapping[Names, Subject],
    keys: KeyStore,
) -> Iterator[Sequence[Any]]:
    """The columns of subjects' ids, tokens, sealed parts and raw messages: one pass over the events."""
    general, fresh, address = keys.general, nonces(), keys.address
    sessions, requests = ({of: keys.hasher(of, kind) for of in set(tenants)} for kind in ("session", "request"))
    rows: list[tuple[Any, ...]] = []
    for event, values, message, tenant, (about, did, to) in zip(events, members_, messages, tenants, whom, strict=True):
        user = subjects[about] if about else None
        tokens = (
            address(tenant, event.ip) if event.ip else None,
            digest(sessions[tenant], event.session) if event.session else None,
            digest(requests[tenant], event.request_id) if event.request_id else None,
        )
        if user and not did and not to:  # nearly all
            key = (user.key,)
            part = sealed(key, _pack((values[_OWN], values[_DID])), _USER, next(fresh))
            rows.append((user.id, None, None, *tokens, part, None, None, sealed(key, message, _RAW, next(fresh))))
            continue
        actor, target = (subjects[did] if did else None), (subjects[to] if to else None)
        whose = list(dict.fromkeys(subject.key for subject in (user, actor, target) if subject)) or [general]
        parts: list[bytes | None] = [None, None, None]
        if user:
            own = (values[_OWN],) if actor else (values[_OWN], values[_DID])
            parts[0] = sealed([user.key], _pack(own), _USER, next(fresh))
        if actor or not user:
            parts[1] = sealed([actor.key if actor else general], _pack((values[_DID],)), _ACTOR, next(fresh))
        if target:
            parts[2] = sealed([target.key], _pack(((event.target,),)), _TARGET, next(fresh))
        ids = [subject.id if subject else None for subject in (user, actor, target)]
        rows.append((*ids, *tokens, *parts, sealed(whose, message, _RAW, next(fresh))))
    return zip(*rows, strict=True)


def _whom(tenant: str, event: Members) -> tuple[Names | None, Names | None, Names | None]:
    """Whom the event is about, who did it if that is somebody else, and its object."""
    user, actor, target = event.user or "", event.actor, event.target
    about = (tenant, user, event.username or "") if user or event.username else None
    if not actor and not target:
        return about, None, None
    known = (user, event.username)
    did = (tenant, actor, "") if actor and actor not in known else None
    if not target:
        return about, did, None
    return about, did, about if target in known else did if target == actor else (tenant, target, "")


def _words(words: Sequence[str], codes: NDArray[np.uint8]) -> list[str | None]:
    table = [word or None for word in words]
    return [table[code] for code in codes.tolist()]


def _names(batch: Decoded, dimension: int) -> list[str]:
    """The rows' entities in a dimension, each spelled out once; empty where there is none."""
    _, first, which = np.unique(batch.entity[dimension], return_index=True, return_inverse=True)
    starts, lengths = batch.name_start[dimension, first].tolist(), batch.name_length[dimension, first].tolist()
    texts = [batch.names[at : at + size].tobytes().decode() for at, size in zip(starts, lengths, strict=True)]
    return [texts[at] for at in which.tolist()]


def days(times: NDArray[np.int64]) -> list[str]:
    """The partitions of times in microseconds UTC."""
    each, which = np.unique(times // _DAY, return_inverse=True)
    texts = [day_of(day * _DAY) for day in each.tolist()]
    return [texts[at] for at in which.tolist()]
