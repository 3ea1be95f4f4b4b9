"""`[[exception]]`: what no type says of it, and what `lapwing check` warns of."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from flows.structure import meant, shown, structure
from models.base import DIMENSIONS
from models.exceptions import ENTITY_KEYS, MATCH_KEYS, AlertException, expires, network
from models.rules import Rule, watched

MOST: Final = 1_000
_LONGEST: Final = 512
_DIMENSION: Final = {"cidr": "ip", "user": "user", "endpoint": "endpoint", "source": "source"}
_EVERYTHING: Final = ("0.0.0.0/0", "::/0")


def exceptions(rows: object, detections: Sequence[Rule], faults: list[str]) -> tuple[AlertException, ...]:
    """The exceptions of a configuration, with a line in `faults` for each thing that is wrong.

    An expiry may be a string or a TOML time. One without an `id` is named by its place.

    >>> faults = []
    >>> one = {"cidr": "10.0.0.1/8", "owner": "soc", "reason": "pentest", "expiry": "2026-12-01T00:00:00Z"}
    >>> _ = exceptions([one, {"owner": "soc", "reason": "-", "expiry": "soon"}], [], faults)
    >>> print("\\n".join(faults))
    Expected a network such as "10.0.0.0/8", got "10.0.0.1/8" - at $.exception[0].cidr
    Expected an RFC 3339 time such as "2026-12-31T00:00:00Z", got "soon" - at $.exception[1].expiry
    It matches everything: expected at least one of cidr, user, endpoint, source, user_agent, tenant, detection - at
    $.exception[1]
    """
    if not isinstance(rows, list):
        faults.append(f"Expected a list of tables, written [[exception]], got {shown(rows)} - at $.exception")
        return ()
    if len(rows) > MOST:
        faults.append(f"Expected at most {MOST} exceptions, got {len(rows)} - at $.exception")
        return ()
    found = []
    first: dict[str, int] = {}
    for at, row in enumerate(rows):
        path = f"$.exception[{at}]"
        before = len(faults)
        if not isinstance(row, Mapping):
            faults.append(f"Expected a table, got {shown(row)} - at {path}")
            continue
        expiry = row.get("expiry")
        row = dict(row) | ({"expiry": expiry.isoformat()} if isinstance(expiry, datetime) else {})
        one = structure(AlertException, row, path, faults)
        one = one if one.id else msgspec.structs.replace(one, id=f"exception_{at + 1}")
        if len(faults) == before:
            faults += _faults(one, path, detections)
        if one.id in first:
            faults.append(f"Duplicate id {shown(one.id)}, first at $.exception[{first[one.id]}].id - at {path}.id")
        first.setdefault(one.id, at)
        found.append(one)
    return tuple(found)


def warnings(all_of_them: Iterable[AlertException], now: int) -> list[str]:
    """What is allowed and yet deserves a look, at a time in microseconds: expired, or wider than it seems.

    >>> warnings([AlertException(id="a", tenant="acme", expiry="2026-12-01T00:00:00Z")], 0)
    ['exception a: matches every incident of its tenants']
    """
    found = []
    for one in all_of_them:
        given = [key for key in MATCH_KEYS if getattr(one, key)]
        if expires(one.expiry) <= now:
            found.append(f"exception {one.id}: has expired at {one.expiry}, so it does nothing any more")
        if given == ["tenant"]:
            found.append(f"exception {one.id}: matches every incident of its tenants")
        if given == ["detection"]:
            found.append(f"exception {one.id}: matches every incident of its detections")
        if given in (["user_agent"], ["user_agent", "tenant"]):
            found.append(f"exception {one.id}: matches whoever sends this user agent; add cidr, user or detection")
    return found


def _faults(one: AlertException, path: str, detections: Sequence[Rule]) -> Iterable[str]:
    ids = [rule.id for rule in detections]
    for key in ("owner", "reason", "expiry"):
        if not getattr(one, key).strip():
            yield f"Missing key {key} - at {path}"
    for key in msgspec.structs.asdict(one):
        if len(getattr(one, key)) > _LONGEST:
            yield f"Expected at most {_LONGEST} characters - at {path}.{key}"
    if one.expiry:
        try:
            expires(one.expiry)
        except ValueError:
            yield (
                f'Expected an RFC 3339 time such as "2026-12-31T00:00:00Z", got {shown(one.expiry)} - at {path}.expiry'
            )
    if one.cidr:
        try:
            network(one.cidr)
        except ValueError:
            yield f'Expected a network such as "10.0.0.0/8", got {shown(one.cidr)} - at {path}.cidr'
    if one.detection and "*" not in one.detection and one.detection not in ids:
        yield f"No detection {shown(one.detection)}{meant(one.detection, ids)} - at {path}.detection"
    entities = {_DIMENSION[key] for key in ENTITY_KEYS if getattr(one, key)}
    together = "_".join(name for name in (*DIMENSIONS, "source") if name in entities)
    if len(entities) > 1 and together not in watched(detections):
        which = " and ".join(key for key in ENTITY_KEYS if getattr(one, key))
        yield f"No detection watches {which} together: expected one of them - at {path}"
    if all(_is_everything(key, getattr(one, key)) for key in MATCH_KEYS):
        yield f"It matches everything: expected at least one of {', '.join(MATCH_KEYS)} - at {path}"


def _is_everything(key: str, text: str) -> bool:
    return not text.strip("*") or (key == "cidr" and text in _EVERYTHING)
