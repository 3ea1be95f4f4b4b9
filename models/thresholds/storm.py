"""How many incidents of a detection an hour may tell one by one; the rest are told in a digest, and counted there."""

import hashlib
from typing import Final

import msgspec

from models.alert import CLOSE, CREATE, UPDATE, Alert, Related

HOUR_US: Final = 3_600_000_000
BEAT_US: Final = 300_000_000
"""Digests are told at the first incident beyond the limit, then on this grid of event time, where they have changed."""
MOST_RELATED: Final = 20


class Hour(msgspec.Struct, array_like=True):
    """One clock hour of a detection in a tenant. `told` went out one by one, `beyond` did not.

    `open` are the incidents beyond that have not closed, `top` the largest of those that have, `counted` the events of
    those that have; `changed` says whether there is anything that no digest has told.
    """

    tenant: str
    detection: str
    hour: int
    told: int = 0
    beyond: int = 0
    counted: int = 0
    seq: int = 0
    changed: bool = False
    severity: int = 0
    first_seen: int = 0
    end: int = 0
    created: int = 0
    open: dict[str, Related] = {}
    top: list[Related] = []


def digest_uid(tenant: str, detection: str, hour: int) -> str:
    """The uid of an hour's digest: BLAKE2b-128 in hex over (tenant, detection id, "digest", start in us).

    >>> digest_uid("acme", "brute_force_user", 498_725)
    '0eeb9889b064ab8cfb9a910671d1379e'
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (tenant, detection, "digest", str(hour * HOUR_US)):
        digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    return digest.hexdigest()


class Storms:
    """The hours that are not over. What is beyond the limit costs one small struct an open incident.

    Parameters
    ----------
    most
        Incidents of one detection in one tenant and hour that are told one by one.
    """

    def __init__(self, most: int, state: list[Hour] | None = None) -> None:
        self._most = most
        self._hours = {(hour.tenant, hour.detection, hour.hour): hour for hour in state or []}
        self._beyond = {uid: hour for hour in self._hours.values() for uid in hour.open}

    def snapshot(self) -> list[Hour]:
        """The hours, in an order that hangs on nothing but them."""
        return [self._hours[key] for key in sorted(self._hours)]

    def admit(self, create: Alert, now: int) -> bool:
        """Whether there is room to tell of this incident itself; if so it is taken, in the hour of `now`."""
        hour = self._hour(create, now)
        if hour.told >= self._most:
            return False
        hour.told += 1
        return True

    def add(self, create: Alert, now: int, exact: bool) -> tuple[str, list[Alert]]:
        """An incident beyond the limit: the uid of its digest, and the digest if it is the first.

        A create whose count is not yet exact counts as the least that crosses.
        """
        hour = self._hour(create, now)
        uid = digest_uid(hour.tenant, hour.detection, hour.hour)
        hour.beyond += 1
        hour.changed = True
        hour.severity = max(hour.severity, create.severity)
        hour.first_seen = min(hour.first_seen or create.start, create.start)
        count = create.count if exact else int(create.limit)
        hour.open[create.uid] = Related(create.uid, create.detection, create.dimension, create.entity, count)
        self._beyond[create.uid] = hour
        if hour.seq:
            return uid, []
        hour.created = now
        return uid, [self._digest(hour, CREATE, now)]

    def digest_of(self, uid: str) -> str | None:
        """The uid of the digest that tells of an open incident; None for one that is told itself."""
        hour = self._beyond.get(uid)
        return None if hour is None else digest_uid(hour.tenant, hour.detection, hour.hour)

    def follow(self, alert: Alert) -> None:
        """An incident beyond the limit goes on or closes."""
        hour = self._beyond[alert.uid]
        related = msgspec.structs.replace(hour.open[alert.uid], count=alert.count)
        hour.changed |= related != hour.open[alert.uid]
        hour.end = max(hour.end, alert.end)
        hour.severity = max(hour.severity, alert.severity)
        hour.open[alert.uid] = related
        if alert.activity == CLOSE:
            del hour.open[alert.uid], self._beyond[alert.uid]
            hour.counted += related.count
            hour.top = _largest([*hour.top, related])

    def due(self) -> bool:
        """Whether a later place of the grid brings anything without a further incident."""
        return any(hour.changed or not hour.open for hour in self._hours.values())

    def beat(self, now: int) -> list[Alert]:
        """The digests due at a place of the grid: those that changed, and the last of hours that are over.

        An hour is over when it has passed and its incidents have closed.
        """
        out = []
        for key in sorted(self._hours):
            hour = self._hours[key]
            over = now >= (hour.hour + 1) * HOUR_US and not hour.open
            if hour.beyond and (over or hour.changed):
                out.append(self._digest(hour, CLOSE if over else UPDATE, now))
            if over:
                del self._hours[key]
        return out

    def __len__(self) -> int:
        return len(self._hours)

    def _hour(self, create: Alert, now: int) -> Hour:
        key = create.tenant, create.detection, now // HOUR_US
        return self._hours.setdefault(key, Hour(*key))

    def _digest(self, hour: Hour, activity: int, time: int) -> Alert:
        start = hour.hour * HOUR_US
        alert = Alert(
            uid=digest_uid(hour.tenant, hour.detection, hour.hour),
            seq=hour.seq,
            activity=activity,
            tenant=hour.tenant,
            detection=hour.detection,
            dimension="tenant",
            entity=hour.tenant,
            severity=hour.severity,
            time=time,
            created=hour.created,
            first_seen=hour.first_seen,
            start=start,
            end=max(start + HOUR_US, hour.end),
            count=hour.counted + sum(related.count for related in hour.open.values()),
            feature="incidents_1h",
            window_s=HOUR_US // 1_000_000,
            value=float(hour.beyond),
            limit=float(self._most),
            related=tuple(_largest([*hour.top, *hour.open.values()])),
            related_count=hour.beyond,
            digest=hour.beyond,
        )
        hour.seq += 1
        hour.changed = False
        return alert


def _largest(related: list[Related]) -> list[Related]:
    return sorted(related, key=lambda one: (-one.count, one.entity, one.uid))[:MOST_RELATED]
