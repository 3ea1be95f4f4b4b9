"""The block `[trail]`: how long the audit trail keeps what, by classes of retention."""

import calendar
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import msgspec

from flows.structure import shown, structure

EVERY: Final = "*"
RAW: Final = "raw"
"""The messages as they came, which are kept beside what was read of them."""
KEPT_BY_TIME: Final = (
    "events", "alerts", "windows", "dead_letters", "verdicts", "actions", "access", "insights",
)  # fmt: skip
"""Tables whose rows go when their time is over, the counts made of them too. What was held, erased and removed is told
as long as there is a trail.
"""
READ: Final = tuple(kind for kind in KEPT_BY_TIME if kind != "dead_letters")
"""Those of what could be read: a dead letter is a message as it came."""
FOREVER: Final = "forever"
_FORM: Final = re.compile(r"([1-9][0-9]{0,3}) (day|month|year)s?", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """One class: how long rows of some kinds and tenants are kept, from the day of their time on.

    Of `kinds`, "raw" are the messages as they came. `tenants` are names, "*" for all, empty for none.
    """

    keep: str
    kinds: tuple[str, ...] = READ
    tenants: tuple[str, ...] = (EVERY,)

    def is_for(self, kind: str, tenant: str) -> bool:
        """Whether it is about a table's rows of a tenant.

        >>> Retention(keep="6 years", tenants=("clinic",)).is_for("events", "clinic")
        True
        """
        return kind in self.kinds and (EVERY in self.tenants or tenant in self.tenants)


CLASSES: Final = {
    "security": Retention(keep="13 months"),
    "health": Retention(keep="6 years", tenants=()),
    RAW: Retention(keep="30 days", kinds=(RAW, "dead_letters")),
}
"""PCI DSS 10.5.1 asks for a year; HIPAA 164.316(b)(2)(i) for six, where a tenant is under it. Raw messages and dead
letters are for repair only."""


class TrailBlock(msgspec.Struct, frozen=True, kw_only=True):
    """The classes of retention by name. Of several that a row belongs to the longest counts."""

    retention: dict[str, Retention] = msgspec.field(default_factory=lambda: dict(CLASSES))


def kept_until(keep: str, day: date) -> date | None:
    """The first day on which what is of a day may go; None for never. A month later is the same day of it, or its last.

    Raises
    ------
    ValueError
        `keep` is no such length.

    >>> kept_until("13 months", date(2025, 10, 31)), kept_until("30 days", date(2026, 11, 1))
    (datetime.date(2026, 11, 30), datetime.date(2026, 12, 1))
    """
    if keep == FOREVER:
        return None
    found = _FORM.fullmatch(keep)
    if found is None:
        raise ValueError('Expected a length such as "30 days", "13 months", "6 years", or "forever"')
    count = int(found[1])
    try:
        if found[2] == "day":
            return day + timedelta(days=count)
        months = day.year * 12 + day.month - 1 + count * (12 if found[2] == "year" else 1)
        year, month = months // 12, months % 12 + 1
        return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
    except (OverflowError, ValueError):
        return None


def trail_block(table: object, path: str, faults: list[str]) -> TrailBlock:
    """The block from its table; what is wrong is told in `faults` and keeps its default.

    A class that has a default's name takes its place key by key.

    >>> found = []
    >>> trail_block({"retention": {"raw": {"keep": "7d"}, "b": {}}}, "$.trail", found).retention["raw"].keep
    '30 days'
    >>> print("\\n".join(found))
    Expected a length such as "30 days", "13 months", "6 years", or "forever", got "7d" - at $.trail.retention.raw.keep
    Missing key keep - at $.trail.retention.b
    """
    classes = dict(CLASSES)
    if not isinstance(table, Mapping):
        return structure(TrailBlock, table, path, faults)
    structure(TrailBlock, {key: value for key, value in table.items() if key != "retention"}, path, faults)
    given = table.get("retention", {})
    at = f"{path}.retention"
    if not isinstance(given, Mapping):
        faults.append(f"Expected a table, got {shown(given)} - at {at}")
        return TrailBlock()
    for name, row in given.items():
        made = _class(name, row, f"{at}.{name}", faults)
        if made is not None:
            classes[name] = made
    return TrailBlock(retention=classes)


def _class(name: str, row: object, path: str, faults: list[str]) -> Retention | None:
    if not _NAME.fullmatch(name):
        faults.append(f"Expected 1 to 64 letters, digits, _ and -, got {shown(name)} - at {path.rpartition('.')[0]}")
        return None
    if not isinstance(row, Mapping):
        faults.append(f"Expected a table, got {shown(row)} - at {path}")
        return None
    before = CLASSES.get(name)
    if before is None and "keep" not in row:
        faults.append(f"Missing key keep - at {path}")
        return None
    known = len(faults)
    made = structure(_Row, row, path, faults)
    told = {key: getattr(made, key) for key in row if key in _Row.__struct_fields__}
    found = msgspec.structs.replace(before, **told) if before else Retention(**told)
    try:
        kept_until(found.keep, date(2000, 1, 1))
    except ValueError as error:
        faults.append(f"{error}, got {shown(found.keep)} - at {path}.keep")
    for kind in found.kinds:
        if kind not in (*KEPT_BY_TIME, RAW):
            faults.append(f"Expected one of {', '.join((*KEPT_BY_TIME, RAW))}, got {shown(kind)} - at {path}.kinds")
    return found if len(faults) == known else None


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A class as it is given."""

    keep: str = FOREVER
    kinds: tuple[str, ...] = READ
    tenants: tuple[str, ...] = (EVERY,)
