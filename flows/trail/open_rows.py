"""Rows of the trail back to events and records, as far as the keys of those whom they are about still exist."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flows.trail.keys import KeyStore
from flows.trail.schema import ABOUT_RECORD, OF_ACTOR, OF_USER, PARTS, PLAIN, stamp
from flows.trail.seal import CannotOpen, unseal

_unpack = msgspec.msgpack.Decoder().decode
_USER, _ACTOR, _TARGET = PARTS
_RAW: Final = b"raw"
_ABSENT: Final = (None, "")


def opened_event(
    row: Mapping[str, Any], keys: Mapping[bytes, bytes], store: KeyStore | None
) -> tuple[dict[str, Any], tuple[str, ...], bytes | None]:
    """A stored event's canonical members, whose of "user", "actor" and "target" are erased, and the raw message.

    `keys` are those of the rows' subjects that still exist. Without a key store only what is plain is there, and
    nobody is called erased.

    Raises
    ------
    CannotOpen
        Something was sealed with other keys, or has been changed.
    """
    event: dict[str, Any] = {"time": stamp(row["time"]), "tenant": row["tenant"]}
    event |= {name: row[name] for name in PLAIN if row[name] not in _ABSENT}
    if store is None:
        return event, (), None
    ids = {part: row[f"{part}_id"] for part in PARTS}
    erased = tuple(part for part, id_ in ids.items() if id_ is not None and id_ not in keys)
    for part, names in ((_USER, (OF_USER, OF_ACTOR)), (_ACTOR, (OF_ACTOR,)), (_TARGET, (("target",),))):
        sealed = row[f"{part}_sealed"]
        if sealed is None or part in erased:
            continue
        key = store.general if ids[part] is None else keys[ids[part]]
        for of, values in zip(names, _unpack(unseal([key], sealed, part.encode())), strict=False):
            event |= {name: value for name, value in zip(of, values, strict=True) if value not in _ABSENT}
    return event, erased, opened_raw(row, keys, store) if row.get("raw") is not None else None


def opened_raw(row: Mapping[str, Any], keys: Mapping[bytes, bytes], store: KeyStore) -> bytes | None:
    """A row's message; None where it is kept no longer, or somebody it is about is erased.

    Raises
    ------
    CannotOpen
        It was sealed with other keys, or has been changed.
    """
    ids = [id_ for part in PARTS if (id_ := row[f"{part}_id"]) is not None]
    if row["raw"] is None or any(id_ not in keys for id_ in ids):
        return None
    whose = list(dict.fromkeys(keys[id_] for id_ in ids)) or [store.general]
    return unseal(whose, row["raw"], _RAW)


def opened_record(row: Mapping[str, Any], keys: Mapping[bytes, bytes], store: KeyStore | None) -> dict[str, Any] | None:
    """A stored record, None without keys or where one of its subjects is erased.

    Raises
    ------
    CannotOpen
        It was sealed with other keys, or has been changed.
    """
    ids = row["subjects"] or ()
    if store is None or any(id_ not in keys for id_ in ids):
        return None
    message = unseal([keys[id_] for id_ in ids] or [store.general], row["sealed"], ABOUT_RECORD)
    return msgspec.json.decode(message, type=dict[str, Any])


__all__ = ["CannotOpen", "opened_event", "opened_record"]
