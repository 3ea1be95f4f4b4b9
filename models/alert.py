"""A message in the life of an incident."""

from typing import Any

import msgspec

CREATE, UPDATE, CLOSE = 1, 2, 3
HISTORY = "history"
"""What keeps incidents out of the queue that were over before a run went on live."""
SHADOW = "shadow"
"""What keeps the incidents of a detection in shadow out of the queue."""
MUTE = "mute"
"""What keeps incidents out of the queue that opened while somebody had muted them."""
CANARY = "canary"
"""What keeps the incidents of our own attacks out of the queue."""


class Related(msgspec.Struct, frozen=True, array_like=True):
    """Another incident that belongs to one: of the same attack, or told of in the same digest."""

    uid: str
    detection: str
    dimension: str
    entity: str
    count: int


class Reason(msgspec.Struct, frozen=True, array_like=True):
    """One of the features that made behaviour strange: `drop` is how far the score falls where it is `typical`."""

    feature: str
    observed: float
    typical: float
    drop: float


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One of an incident's messages: create, update or close. Times are microseconds UTC.

    `uid` is BLAKE2b-128 (hex) over (tenant, detection id, entity, start of the first crossing pane).
    `time` is the end of the crossing pane (of the change). `value` is the rule's measure at that pane, `limit` the
    least value that crosses, `expected` the baseline where a detector learned one, `z` its distance.
    `evidences` are the canonical members of up to five counted events, never raw bytes.
    `failed_users` and `succeeded_users` are the distinct users who failed and succeeded at an address within the
    rule's window, None where nobody counted them. `reasons` are the features that made learned behaviour strange, the
    weightiest first.

    `joint` are the two parts, as (dimension, name), of an entity of two dimensions, such as `ip_user`.

    What follows is said by `decide`. `incident` is the uid of the first incident of an attack of several, empty for
    one that stands alone; `front` whether this one is the attack's entry in an analyst's queue; `related` the others,
    at most fifty of the `related_count` there are. `suppressed_by` names the exception, mute or digest that keeps the
    message out of the queue, or is `history`, `shadow` or `canary`. A digest, which tells of the incidents beyond an
    hour's limit, has their number in `digest`, and in `value`.
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
    reasons: tuple[Reason, ...] = ()
    failed_users: int | None = None
    succeeded_users: int | None = None
    incident: str = ""
    front: bool = True
    related: tuple[Related, ...] = ()
    related_count: int = 0
    joint: tuple[tuple[str, str], ...] = ()
    suppressed_by: str = ""
    digest: int = 0

    @property
    def entities(self) -> tuple[tuple[str, str], ...]:
        """The entity as (dimension, name); two where it is a joint one."""
        return self.joint or ((self.dimension, self.entity),)
