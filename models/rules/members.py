"""What an expression may name: the canonical members with their types, and what a row counts as."""

from typing import Final

from models.base import ACTIONS, DELETION, ERROR, FAILURE, OUTCOMES, REASONS, RESET, SUCCESS

TEXT, NUMBER, CODE, ADDRESS = "text", "number", "code", "address"

TYPES: Final[dict[str, str]] = {
    "tenant": TEXT, "action": CODE, "outcome": CODE, "reason": CODE, "user": TEXT, "username": TEXT, "actor": TEXT,
    "target": TEXT, "ip": ADDRESS, "endpoint": TEXT, "status": NUMBER, "error_code": TEXT, "error": TEXT,
    "actor_type": TEXT, "session": TEXT, "api_key": TEXT, "request_id": TEXT, "factor": TEXT, "ip_type": TEXT,
    "asn": NUMBER, "country": TEXT, "city": TEXT, "lat": NUMBER, "lon": NUMBER, "device": TEXT, "user_agent": TEXT,
    "app": TEXT, "app_version": TEXT, "method": TEXT, "latency_ms": NUMBER,
}  # fmt: skip
"""The members that can be compared. `tenant` and `endpoint` are read as they are counted: the tenant's name (`default`
where the event has none) and the path without query and identifiers, both cut where they are too long for an entity.
`username` is normalised (NFKC, lower case). All others are read as they are written."""

CODES: Final[dict[str, tuple[str, ...]]] = {"action": ACTIONS, "outcome": OUTCOMES, "reason": REASONS[1:]}
"""The closed lists; a value outside its list counts as the event's column has it (`other`, `unknown`)."""

COUNTED: Final[dict[str, int]] = {
    "failure": FAILURE, "error": ERROR, "success": SUCCESS, "deletion": DELETION, "reset": RESET
}  # fmt: skip
"""What a row counts as, true or false by itself (models.base); `error` is also a member, when it is compared."""
LATE: Final = "late"
"""True where the event is behind its own partition's watermark."""

BOOLEANS: Final = (*COUNTED, LATE)
ENTITIES: Final = ("tenant", "ip", "endpoint", "user")
"""In `distinct` these are the entities, not the members: `user` is the username where there is one."""


def numeric() -> tuple[str, ...]:
    """The members that can be summed.

    >>> numeric()
    ('status', 'asn', 'lat', 'lon', 'latency_ms')
    """
    return tuple(name for name, kind in TYPES.items() if kind == NUMBER)
