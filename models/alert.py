"""A message in the life of an incident."""

from typing import Any

import msgspec

CREATE, UPDATE, CLOSE = 1, 2, 3


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One of an incident's messages: create, update or close. Times are microseconds UTC.

    `uid` is BLAKE2b-128 (hex) over (tenant, detection id, entity, start of the first crossing pane).
    `time` is the end of the crossing pane (of the change). `value` is the rule's measure at that pane, `limit` the
    least value that crosses, `expected` the baseline where a detector learned one, `z` its distance.
    `evidences` are the canonical members of up to five counted events, never raw bytes.
    """

    uid: str
    seq: int
    activity: int
    tenant: str
    detection: str
    dimension: str
    entity: str
    severity: int
    time: int
    created: int
    first_seen: int
    start: int
    end: int
    count: int
    feature: str
    window_s: int
    value: float
    limit: float
    expected: float | None = None
    z: float | None = None
    evidences: tuple[dict[str, Any], ...] = ()
