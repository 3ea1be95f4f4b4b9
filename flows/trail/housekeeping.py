"""What the trail keeps of itself: who read it, what is held, erased and gone. Commands write it, at any time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import pyarrow as pa

from flows.errors import InputError
from flows.trail.files import batches
from flows.trail.keys import KeyStore
from flows.trail.schema import ABOUT_RECORD, RECORDS, SHARED, day_of, leaf_hash, stamp
from flows.trail.seal import CannotOpen, seal, unseal
from flows.trail.store import Conflict, Store
from flows.trail.trees import Trees

EVERYBODY: Final = ""
"""Stands for the tenant where something concerns all of them."""
_TRIES: Final = 20
"""Commands that write at the same moment each try again with the leaf that is then the next."""
T = TypeVar("T")
_encode = msgspec.json.Encoder(order="deterministic").encode


class Entry(NamedTuple):
    """What is noted: it is about a subject or an address by what rows carry of them, never by name."""

    tenant: str
    uid: str
    record: dict[str, Any]
    user_id: bytes | None = None
    ip_token: bytes | None = None


def append(trail: str, kind: str, keys: KeyStore, entries: Sequence[Entry], *, plain: bool = False) -> None:
    """Add entries to a table of the trail's own, in one commit, as of now.

    They are sealed with the store's own key, as they are about what the trail did and not about a subject: so they
    can be read when the subject is erased. With `plain` they are not sealed, and must have nothing of a person.

    Raises
    ------
    OutputError
        They cannot be written. Whoever was about to show or destroy something then does not.
    """
    for tried in range(_TRIES):
        try:
            _append(Store.open(trail, kind, create=keys.identity), keys, entries, plain)
        except Conflict:
            if tried + 1 == _TRIES:
                raise
        else:
            return


def read(trail: str, kind: str, keys: KeyStore | None, of: type[T]) -> Iterator[T]:
    """The records of a table of the trail's own, oldest first; none where there is no table. Without keys only what
    is plain can be read.

    Raises
    ------
    InputError
        The table cannot be read, it was sealed with other keys, or has been changed.
    """
    if not Store.exists(trail, kind):
        return
    store = Store.open(trail, kind)
    rows: list[Mapping[str, Any]] = []
    for file in store.files():
        with store.folder.open(file.path) as (parquet, _):
            for batch in batches(parquet, range(parquet.num_row_groups), ["time", "leaf", "tenant", "sealed"]):
                rows += batch.to_pylist()
    for row in sorted(rows, key=lambda row: (row["time"], row["tenant"], row["leaf"])):
        try:
            message = row["sealed"] if keys is None else unseal([keys.general], row["sealed"], ABOUT_RECORD)
            record = msgspec.json.decode(message, type=of)
        except (CannotOpen, msgspec.DecodeError, UnicodeDecodeError) as error:
            where = f"leaf {row['leaf']} of {stamp(row['time'])[:19]}Z"
            raise InputError(
                f"{store.place}: {where} cannot be read ({error}); `lapwing verify` says what is so"
            ) from None
        yield record


def now() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


def _append(store: Store, keys: KeyStore, entries: Sequence[Entry], plain: bool) -> None:
    trees = Trees(store)
    at, log = now(), store.kind
    rows: list[list[Any]] = []
    for one in entries:
        tree, leaf = trees.next(one.tenant or SHARED, log)
        message = _encode(one.record)
        rows.append([
            tree, day_of(at), one.tenant, log, leaf, leaf, 0, at, at, one.uid, one.user_id, one.ip_token, [],
            message if plain else seal([keys.general], message, ABOUT_RECORD),
        ])  # fmt: skip
        rows[-1].append(leaf_hash(rows[-1]))
    columns = zip(*rows, strict=True)
    table = pa.table([pa.array(values, field.type) for values, field in zip(columns, RECORDS, strict=True)], RECORDS)
    store.append(table, {}, trees.grown())
