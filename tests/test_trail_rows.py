"""Rows of the trail are made many at a time: each is what its message alone gives."""

import random
from functools import partial

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import asdict

from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.trail.incoming import Events, events
from flows.trail.leaf_bytes import leaf_hashes
from flows.trail.members import SLOT, read
from flows.trail.rows import _paths, nameless
from flows.trail.schema import OF_ACTOR, OF_USER, STRINGS, leaf_hash
from flows.trail.seal import CannotOpen, sealed_all, sealer, unseal
from models.base import ENDPOINT
from tests.odd_lines import lines as odd_lines
from tests.trails import lines

ODD = [
    rb'{"time":1793577600,"user":"u-1","id":"a\"b\u00fc","ip":"192.0.2.1","asn":64511.0,"latency_ms":1e2,"lat":-0.0}',
    rb'{"time":1793577600,"user":"u-1","asn":-3,"app":"","city":"\u00fcber","changes":[{"path":"a","new":[1.5,null]}]}',
    rb'{"time":1793577600,"user":"u-1","asn":4294967296,"lat":52.123456789012345678,"lon":4,"changes":[],"error":null}',
    rb'{"time":1793577600,"user":"u-1","asn":"64511","app":7,"user_agent":"' + b"x" * 20_000 + b'"}',
    '{"time":1793577600,"user":"Zoë","actor":"Zoë","target":"ſam","endpoint":"/users/SAM/x@y/%73am"}'.encode(),
    b'{"time":1793577600,"username":"Sam","actor":"ann","target":"ann","endpoint":"/users/sam/Ann"}',
    b'{"time":1793577600,"ip":"192.0.2.1","target":"u-9","endpoint":"/users/u-9/"}',
]  # fmt: skip


def came(messages: list[bytes]) -> Events:
    """Messages as they come to the trail."""
    return events(raw_batch("log", messages), partial(decode, limits=Limits()), scored=False)


@pytest.fixture(scope="module")
def some() -> Events:
    """Events of every kind."""
    return came([*odd_lines(7, 700), *ODD, *lines(1_500)])


def test_members_by_their_spans_are_those_of_each_message(some: Events) -> None:
    told = some.told
    noted = (some.batch.note_length > 0).tolist()
    alone = [asdict(read(some.kept.text(row), noted[row])) for row in range(len(told))]
    every = np.arange(len(told))
    for name in SLOT.keys() - {"changes", "asn", "lat", "lon", "latency_ms"}:
        assert told.strings(name, every) == [one[name] or "" for one in alone]
    for name in STRINGS:
        assert told.texts(name).to_pylist() == [one[name] or None for one in alone]
    for name in ("lat", "lon", "latency_ms"):
        got = [value if there else None for value, there in zip(told.numbers(name), told.has(name), strict=True)]
        assert got == [one[name] for one in alone]
    room = told.room()
    told.packed((0x92, 0x93), OF_USER, every, room)
    told.packed((0x9C,), OF_ACTOR, every, room)
    for row, one in enumerate(alone):
        stored = {name: None if value == "" else value for name, value in one.items()}
        stored |= {name: float(stored[name]) for name in ("lat", "lon") if stored[name] is not None}
        parts = tuple([stored[name] for name in names] for names in (OF_USER, OF_ACTOR))
        assert room.out[room.begin[row] : room.cursor[row]].tobytes() == msgspec.msgpack.encode(parts)
    assert sum(one["changes"] is not None for one in alone) > 10


def test_rows_with_the_same_members_are_told_apart_from_others(some: Events) -> None:
    told = some.told
    code = np.arange(len(told)) % 2
    rows = np.arange(0, len(told), 3)
    which, first = told.distinct(("user", "username"), rows, code)
    names = list(zip(code[rows].tolist(), told.strings("user", rows), told.strings("username", rows), strict=True))
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    assert which.tolist() == [order[name] for name in names]
    assert first.tolist() == [int(rows[names.index(name)]) for name in order]


def test_a_path_has_no_name_of_its_event_in_it(some: Events) -> None:
    told, batch, every = some.told, some.batch, np.arange(len(some.told))
    own = zip(*(told.strings(name, every) for name in ("user", "username", "actor", "target", "session", "api_key",
                                                       "request_id")), strict=True)  # fmt: skip
    starts, lengths = batch.name_start[ENDPOINT].tolist(), batch.name_length[ENDPOINT].tolist()
    paths = [batch.names[at : at + size].tobytes().decode() for at, size in zip(starts, lengths, strict=True)]
    expected = [nameless(path, names) for path, names in zip(paths, own, strict=True)]
    assert _paths(batch, told).to_pylist() == expected
    assert expected != paths


def test_leaves_of_columns_are_those_of_their_rows() -> None:
    draw = random.Random(3)
    wholes = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**62, -1, -32, -33, -128, -129, -(2**15),
              -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**62), None]  # fmt: skip
    sizes = [0, 1, 31, 32, 255, 256, 65_535, 65_536]
    n = 200
    columns = {
        "whole": pa.array(draw.choices(wholes, k=n), pa.int64()),
        "small": pa.array(draw.choices([-3, 0, 5, None], k=n), pa.int16()),
        "float": pa.array(draw.choices([0.0, -0.0, 1.5, -2.25e300, float("inf"), None], k=n), pa.float64()),
        "flag": pa.array(draw.choices([True, False, None], k=n), pa.bool_()),
        "time": pa.array(draw.choices([0, 1_793_577_600_000_000, None], k=n), pa.timestamp("us", tz="UTC")),
        "text": pa.array(["é" * (draw.choice(sizes) // 2) if at % 7 else None for at in range(n)], pa.string()),
        "bytes": pa.array([draw.randbytes(draw.choice(sizes)) if at % 5 else None for at in range(n)], pa.binary()),
        "id": pa.array([draw.randbytes(16) if at % 3 else None for at in range(n)], pa.binary(16)),
        "none": pa.nulls(n),
        **{f"more{at}": pa.array([str(at)] * n) for at in range(10)},
    }
    for part in (slice(None), slice(7, 150)):  # a part of a column begins within its buffers
        some = [column[part] for column in columns.values()]
        plain = [one.cast(pa.int64()) if pa.types.is_timestamp(one.type) else one for one in some]
        rows = zip(*(one.to_pylist() for one in plain), strict=True)
        assert leaf_hashes(some) == [leaf_hash(row) for row in rows]


def test_what_is_sealed_with_others_opens_alone() -> None:
    sam, ann = bytes(32), bytes([1]) * 32
    texts = [b"", b"for sam", b"for both" * 99, b"for ann"]
    pieces = sealed_all(map(sealer, ([sam], [sam], [ann, sam], [ann])), texts, b"raw")
    for keys, piece, text in zip(([sam], [sam], [sam, ann], [ann]), pieces, texts, strict=True):
        assert unseal(keys, piece, b"raw") == text
    assert len({piece[:12] for piece in pieces}) == 4
    for keys, about in (([ann], b"raw"), ([sam], b"raw"), ([sam, ann], b"user")):
        with pytest.raises(CannotOpen):
            unseal(keys, pieces[2], about)
