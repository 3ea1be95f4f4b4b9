"""What `lapwing troubleshoot` asks of the trail."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec
import pyarrow.compute as pc

from flows.errors import InputError
from flows.trail.own import Owner
from flows.trail.paths import templated
from flows.trail.reader import Trail
from flows.troubleshoot import endpoint as endpoints
from flows.troubleshoot import others, person, release
from flows.troubleshoot.causes import Case
from flows.troubleshoot.history import History, history

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR
_LONGEST: Final = 7 * _DAY
"""As far as others are looked at before the last failure."""
_MOST_READ: Final = 200_000
"""Events that are opened to find the names of those whom a release hit."""


def of_user(
    trail: Trail, user: str, tenant: str, start: int | None, end: int, elsewhere: Sequence[str]
) -> person.Diagnosis:
    """Why a person cannot log in. `elsewhere` are other tenants that know the name; times are microseconds UTC.

    The person's own events are opened; of others plain columns are read, of the day before the trouble began until an
    hour after the last failure, at most a week.

    Raises
    ------
    InputError
        The trail cannot be read.
    """
    keys = trail.keys
    if keys is None:
        raise ValueError("nobody is found by name without keys")
    own = frozenset(one.id for one in keys.find(tenant, user))
    owner = Owner(keys, user)
    events = trail.events(tenant=tenant, user=user, start=start, end=end) if own else iter(())
    found = history(event for event in events if owner.is_about(event))
    failed = found.failed
    first, last = (failed[0].time - _DAY, failed[-1].time + _HOUR) if failed else (end - _DAY, end)
    seen = others.Others(own)
    for batch in trail.table("events", others.COLUMNS, tenant=tenant, start=max(first, last - _LONGEST), end=last):
        seen.add(batch)
    traffic = person.Traffic(
        end=end, hours=24, attempts=seen.attempts, people=seen.people(), got_in=seen.got_in(),
        last=None if failed else _last(trail, tenant), tenants=list(elsewhere),
    )  # fmt: skip
    if not found.events and not own:
        return person.never_seen(user, tenant, traffic)
    return person.failing(user, tenant, Case(found, seen, _incidents(trail, user, tenant, found, end)), traffic)


def of_release(
    trail: Trail, version: str, app: str | None, tenant: str | None, start: int | None, end: int | None, names: int
) -> release.Report:
    """What a release broke, and with keys the names of at most so many people whom it hit.

    Raises
    ------
    InputError
        The version was never seen there, or the trail cannot be read.
    """
    seen = release.Seen(version=version)
    for batch in trail.table("events", release.FIRST, tenant=tenant, start=start, end=end):
        seen.add(batch)
    if app is not None:
        seen.apps &= {app}
    if seen.first is None or seen.last is None or not seen.apps:
        raise InputError(f"{trail.place}: version {version}{f' of {app}' if app else ''} was never seen there")
    found = release.Release(seen)
    for batch in trail.table("events", release.COLUMNS, tenant=tenant, start=found.before_from, end=seen.last + 1):
        found.add(batch)
    report = found.report()
    worse = {one.endpoint for one in report.endpoints if one.verdict == "worse"}
    if trail.keys is None or not worse or not names:
        return report
    hit = islice(_hit(trail, seen, worse, tenant), names)
    return msgspec.structs.replace(report, users=list(hit))


def of_endpoint(trail: Trail, path: str, tenant: str | None, start: int | None, end: int | None) -> endpoints.Report:
    """Who calls an endpoint wrongly; a path with identifiers is asked for as the endpoint that it is one of.

    Raises
    ------
    InputError
        It was never called, or the trail cannot be read.
    """
    found = endpoints.Calls(path if "{" in path else templated(path))
    for batch in trail.table("events", endpoints.COLUMNS, tenant=tenant, start=start, end=end):
        found.add(batch)
    report = found.report()
    if not report.calls:
        raise InputError(f"{trail.place}: {found.endpoint} was never called there")
    return report


def _hit(trail: Trail, seen: release.Seen, worse: set[str], tenant: str | None) -> Iterator[str]:
    """The names of people who met an error on some endpoints with a release, in the order in which they did."""
    known: set[tuple[str, str]] = set()
    plain = lru_cache(1 << 14)(templated)
    end = (seen.last or 0) + 1
    for event in islice(trail.events(tenant=tenant, start=seen.first, end=end), _MOST_READ):
        told = event.event
        if told.get("app_version") != seen.version or told.get("app") not in seen.apps:
            continue
        path = plain(told["endpoint"]) if "endpoint" in told else None
        endpoint = " ".join(filter(None, (told.get("method"), path))) or "(no endpoint)"
        if endpoint in worse and release.is_error(told.get("status"), told.get("outcome")):
            name = told.get("username") or told.get("user")
            if name and (event.tenant, name) not in known:
                known.add((event.tenant, name))
                yield name


def _incidents(trail: Trail, user: str, tenant: str, found: History, end: int) -> list[tuple[int, str]]:
    """The person's incidents since a day before the last attempts that are kept."""
    if not found.attempts or not trail.has("alerts"):
        return []
    start = found.attempts[0].time - _DAY
    records = (one for one in trail.records("alerts", tenant=tenant, user=user, start=start, end=end) if one.record)
    return [(one.time, _title(one.record)) for one in records if one.record and one.record.get("activity_id") == 1]


def _title(record: dict[str, Any]) -> str:
    info = record.get("finding_info")
    return str(info.get("title", "")) if isinstance(info, dict) else ""


def _last(trail: Trail, tenant: str) -> int | None:
    """A tenant's last event."""
    latest = (pc.max(batch.column("time")).as_py() for batch in trail.table("events", ["time"], tenant=tenant))
    return max((time for time in latest if time is not None), default=None)
