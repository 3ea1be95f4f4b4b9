"""Events to rows of the trail: what is plain in columns, what is personal sealed for each subject."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.formats.canonical import members
from flows.formats.lapwing import Decoded
from flows.trail.keys import KeyStore, Names, Subject
from flows.trail.schema import EVENTS, day_of, leaf_hash
from flows.trail.seal import seal
from flows.trail.trees import Trees
from models.base import ACTIONS, ENDPOINT, METHODS, NONE_TIME, OUTCOMES, REASONS, TENANT

_Text = str | None
_Number = float | None
_DAY: Final = 86_400_000_000


class Members(msgspec.Struct, gc=False):
    """The canonical members of one event that columns of the flow do not have."""

    id: _Text = None
    error_code: _Text = None
    error: _Text = None
    user: _Text = None
    username: _Text = None
    actor: _Text = None
    actor_type: _Text = None
    target: _Text = None
    session: _Text = None
    api_key: _Text = None
    request_id: _Text = None
    factor: _Text = None
    ip: _Text = None
    ip_type: _Text = None
    asn: int | None = None
    country: _Text = None
    city: _Text = None
    lat: _Number = None
    lon: _Number = None
    device: _Text = None
    user_agent: _Text = None
    app: _Text = None
    app_version: _Text = None
    endpoint: _Text = None
    latency_ms: _Number = None
    changes: list[Any] | None = None


class Scored(msgspec.Struct, gc=False):
    """What Lapwing added to a scored event."""

    risk: int | None
    late: bool | None
    text: str | None


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
    return Members(**{name: value for name, value in found.items() if name in Members.__struct_fields__})


def event_table(
    batch: Decoded,
    messages: Sequence[bytes],
    scored: Sequence[Scored],
    log: str,
    keys: KeyStore,
    trees: Trees,
) -> pa.Table:
    """The rows of a batch as they are stored, with their places in the trees of their tenants.

    `messages` are what is kept raw; `scored` what Lapwing added to each, empty where the input is raw events; `trees`
    says where each tenant's rows grow, and is moved on. About ten microseconds an event.

    Raises
    ------
    OutputError
        The key store cannot be written.
    """
    n = len(messages)
    events = [read(*each) for each in zip(messages, (batch.note_length > 0).tolist(), strict=True)]
    tenants, endpoints = _names(batch, TENANT), _names(batch, ENDPOINT)
    whom = [_whom(tenant, event) for tenant, event in zip(tenants, events, strict=True)]
    subjects = keys.subjects(name for three in whom for name in three if name is not None)
    ids: list[list[bytes | None]] = [[], [], []]
    parts: list[list[bytes | None]] = [[], [], []]
    raws, tokens = [], ([], [], [])
    token = lru_cache(maxsize=1 << 14)(keys.token)
    for event, message, three, tenant in zip(events, messages, whom, tenants, strict=True):
        of = [subjects[name] if name else None for name in three]
        _seal_parts(event, of, keys.general, parts)
        for at, subject in enumerate(of):
            ids[at].append(subject.id if subject else None)
        raws.append(seal([subject.key for subject in of if subject] or [keys.general], message, _RAW))
        tokens[0].append(token(tenant, "ip", event.ip) if event.ip else None)
        tokens[1].append(token(tenant, "session", event.session) if event.session else None)
        tokens[2].append(keys.token(tenant, "request", event.request_id) if event.request_id else None)
    grown = [trees.next(tenant, log) for tenant in tenants]
    times = batch.time.tolist()
    columns: list[list[Any]] = [
        [tree for tree, _ in grown], days(batch.time), tenants, [log] * n, [leaf for _, leaf in grown], batch.offset.tolist(), batch.index.tolist(), times,
        [time if time != NONE_TIME else None for time in batch.record_time.tolist()],
        [event.id or None for event in events],
        _words(ACTIONS, batch.action), _words(OUTCOMES, batch.outcome), _words(REASONS, batch.reason),
        _words(METHODS, batch.method), endpoints,
        [event.error_code for event in events], [event.factor for event in events],
        [event.actor_type for event in events], [event.ip_type for event in events],
        [event.country for event in events], [event.app for event in events], [event.app_version for event in events],
        [status or None for status in batch.status.tolist()],
        [event.asn for event in events], [event.latency_ms for event in events],
        [one.risk for one in scored] or [None] * n, [one.late for one in scored] or [None] * n,
        [one.text for one in scored] or [None] * n,
        *ids, *tokens, *parts, [None] * n, [_sha256(raw).digest() for raw in raws],
    ]  # fmt: skip
    hashes = [leaf_hash(row) for row in zip(*columns, strict=True)]
    stored = dict(zip(EVENTS.names, (*columns, hashes), strict=True))
    stored |= {"raw": raws, "raw_hash": [None] * n}
    return pa.table([pa.array(stored[field.name], field.type) for field in EVENTS], schema=EVENTS)


def _whom(tenant: str, event: Members) -> tuple[Names | None, Names | None, Names | None]:
    """Whom the event is about, who did it if that is somebody else, and its object if that is a third."""
    user, actor, target = event.user or "", event.actor or "", event.target or ""
    about = (tenant, user, event.username or "") if user or event.username else None
    known = (user, event.username)
    return (
        about,
        (tenant, actor, "") if actor and actor not in known else None,
        (tenant, target, "") if target and target not in known and target != actor else None,
    )


def _seal_parts(event: Members, of: list[Subject | None], general: bytes, parts: list[list[bytes | None]]) -> None:
    """What is each one's own, sealed with that one's key; an empty part is null."""
    user, actor, target = of
    own = (event.user, event.username, event.changes)
    did = (
        event.actor, event.api_key, event.ip, event.city, event.lat, event.lon, event.device, event.user_agent,
        event.session, event.request_id, event.error, event.endpoint,
    )  # fmt: skip
    if user and not actor:
        parts[0].append(seal([user.key], _pack((own, did)), _USER))
        parts[1].append(None)
    else:
        parts[0].append(seal([user.key], _pack((own,)), _USER) if user else None)
        parts[1].append(seal([actor.key if actor else general], _pack((did,)), _ACTOR))
    parts[2].append(seal([target.key], _pack(((event.target,),)), _TARGET) if target else None)


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
