"""Rows of the trail are made many at a time: each is what its message alone gives."""

import hashlib
import random
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import asdict

from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.trail import many
from flows.trail.incoming import Events, events
from flows.trail.keys import KeyStore
from flows.trail.leaf_bytes import leaf_hashes
from flows.trail.many import Pieces, seal_all, sha256_all, subtree, tokens_of
from flows.trail.members import SLOT, read
from flows.trail.merkle import whole
from flows.trail.rows import _paths, event_table, nameless
from flows.trail.schema import OF_ACTOR, OF_USER, STRINGS, leaf_hash
from flows.trail.seal import CannotOpen, unseal
from flows.trail.store import Store
from flows.trail.trees import Trees
from models.base import ENDPOINT
from models.kernels.distinct import distinct
from models.kernels.pack import pack_members
from models.kernels.scan import TEXT
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


def test_names_of_every_length_are_told_apart_by_any_byte_of_theirs() -> None:
    names = [bytes(range(65, 65 + size)) for size in range(1, 27)]
    names += [name[:at] + b"z" + name[at + 1 :] for name in names for at in range(len(name))]
    buffer, length = np.frombuffer(b"".join(names), np.uint8), np.array([len(name) for name in names] * 2)
    at = np.tile(np.cumsum(length[: len(names)]) - length[: len(names)], 2)[:, None]
    tag = np.full((len(at), 1), TEXT, np.uint8)
    rows, which, first = (np.arange(len(at)) for _ in range(3))
    slots, code = np.zeros(1, np.int64), np.zeros(len(at), np.int64)
    spans = buffer.copy(), at, length[:, None].copy(), tag
    assert distinct(*spans, slots, code, rows, np.uint64(7), which, first) == len(names)
    assert which.tolist() == [*range(len(names))] * 2
    out, cursor = np.zeros(32 * len(at), np.uint8), rows * 32
    pack_members(*spans, slots, rows, out, cursor)
    packed = [out[row * 32 : end].tobytes() for row, end in enumerate(cursor.tolist())]
    assert packed == [msgspec.msgpack.encode(name.decode()) for name in names] * 2


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
        assert [found.tobytes() for found in leaf_hashes(some)] == [leaf_hash(row) for row in rows]


@pytest.fixture(params=[True, False], ids=["compiled", "piece by piece"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With OpenSSL in compiled code, and where it cannot be had so."""
    if request.param and not many.openssl.AVAILABLE:
        pytest.skip("hashlib's OpenSSL is not to be found")
    monkeypatch.setattr(many.openssl, "AVAILABLE", request.param)


def pieces(texts: list[bytes]) -> Pieces:
    """Texts with other bytes between them."""
    buffer = b"".join(b"." + text + b"." for text in texts)
    ends = np.cumsum([len(text) + 2 for text in texts])
    return Pieces(np.frombuffer(buffer, np.uint8), ends - [len(text) + 1 for text in texts], ends - 1)


@pytest.mark.usefixtures("either")
def test_what_is_sealed_with_others_opens_alone() -> None:
    nobody, sam, ann = bytes([2]) * 32, bytes(32), bytes([1]) * 32
    texts = [b"", b"for sam", b"absent", b"for both" * 99, b"for ann", b"for nobody", b"for sam twice"]
    whose = np.array([[1, 1, 1, 2, 2, 0, 1], [0, 0, 0, 3, 0, 0, 3]])
    there = np.array([text != b"absent" for text in texts])
    stored = np.frombuffer(nobody + sam + ann + sam, np.uint8).reshape(-1, 32)
    column = seal_all(stored, whose, pieces(texts), there, b"raw")
    column.validate(full=True)
    found = column.to_pylist()
    keys = ([sam], [sam], [], [sam, ann], [ann], [nobody], [sam])
    for own, piece, text in zip(keys, found, texts, strict=True):
        if own:
            assert unseal(own, piece, b"raw") == text
        else:
            assert piece is None
    assert len({piece[:12] for piece in found if piece}) == 6
    for own, about in (([ann], b"raw"), ([sam], b"raw"), ([sam, ann], b"user")):
        with pytest.raises(CannotOpen):
            unseal(own, found[3], about)
    assert seal_all(stored[:1], np.zeros((1, 0), np.int64), pieces([]), np.zeros(0, bool), b"raw").to_pylist() == []


@pytest.mark.usefixtures("either")
def test_many_hashes_and_tokens_are_those_of_each() -> None:
    draw = random.Random(5)
    sizes = (0, 1, 55, 56, 63, 64, 65, 119, 127, 128, 129, 247, 248, 255, 256, 257, 1_000, 70_000)
    texts = [draw.randbytes(size) for size in sizes * 3]
    assert [one.tobytes() for one in sha256_all(pieces(texts))] == [hashlib.sha256(text).digest() for text in texts]
    key, before = draw.randbytes(32), [b"x", b"ip:4:acme", b"x" * 300]
    which = np.arange(len(texts)) // len(sizes)
    expected = [
        hashlib.blake2b(before[of] + text, digest_size=16, key=key).digest()
        for of, text in zip(which, texts, strict=True)
    ]
    assert [one.tobytes() for one in tokens_of(key, before, which, pieces(texts))] == expected
    for level in range(9):
        leaves = draw.randbytes(32 << level)
        assert subtree(leaves) == whole(leaves)


def test_addresses_have_one_token_however_they_are_written(tmp_path: Path) -> None:
    addresses = ["192.0.2.1", "192.0.2.1:443", "::ffff:192.0.2.1", "2001:DB8::1", "[2001:db8:0:0::1]:80"]
    messages = [b'{"time":1793577600,"user":"u-1","ip":"%s","tenant":"t%d"}' % (ip.encode(), at % 2)
                for ip in addresses for at in (0, 1)]  # fmt: skip
    with KeyStore.open(tmp_path / "keys", create=True) as keys:
        got = came(messages)
        trees = Trees(Store.open(str(tmp_path / "trail"), "events", create=keys.identity))
        table = event_table(got.batch, got.kept, got.told, got.scored, "log", keys, trees)
        expected = [keys.token(f"t{at}", "ip", ip) for ip in addresses for at in (0, 1)]
    assert table.sort_by("offset").column("ip_token").to_pylist() == expected
    assert len(set(expected)) == 4


@pytest.mark.parametrize("seed", range(4))
def test_subjects_are_the_same_asked_for_at_once_or_one_by_one(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    ids, names = (
        ["", *(f"u{n}" for n in range(12))],
        ["", *(f"u{n}" for n in range(12)), *(f"n{n}@X" for n in range(12))],
    )
    drawn = ((draw.choice("ab"), draw.choice(ids), draw.choice(names)) for _ in range(300))
    wanted = list(dict.fromkeys(names for names in drawn if any(names[1:])))

    def told(size: int) -> tuple[list[int], list[list[int]]]:
        with KeyStore.open(tmp_path / str(size), create=True) as keys:
            found = {}
            for at in range(0, len(wanted), size):
                found |= keys.subjects(wanted[at : at + size])
            number = {one.id: at for at, one in enumerate(dict.fromkeys(found.values()))}
            persons = [sorted(number[id_] for id_ in keys.persons([one]) if id_ in number) for one in number]
            leads = [sorted(number[one.id] for one in keys.find(tenant, name)) for tenant in "ab" for name in names[1:]]
            return [number[found[one].id] for one in wanted], [*persons, *leads]

    assert told(1) == told(7) == told(len(wanted))
