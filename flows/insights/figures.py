"""From what was counted to the charts of a report: pure functions, each a table with a title and a unit."""

import math
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.insights.aggregate import BETWEEN, STEPS, UNKNOWN
from flows.insights.counted import DAY, Counted, Sum
from flows.insights.report import Cell, Chart
from flows.insights.rows import ANONYMOUS, OTHER
from flows.insights.sketch import Ids
from flows.intervals import wilson

Days = NDArray[np.int64]
SHOWN: Final = 12
"""Rows of a chart by name; all the rest together are one more."""
LEAST_CALLS: Final = 20
"""An endpoint with fewer calls is in no list of the slowest or of those that fail most."""
WEEK: Final = 7 * DAY
_FAILED: Final = ("failure", "blocked")
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SERIES: Final = (
    ("logins", "Logins", "login", ("success",)),
    ("failures", "Failed logins", "login", _FAILED),
    ("signups", "Sign-ups", "register", ("success",)),
    ("resets", "Password resets requested", "password_reset_request", ("success", "challenge", "unknown")),
    ("deletions", "Accounts deleted", "account_delete", ("success",)),
)
"""What is shown over time: chart, title, action, outcomes."""


def date(time: int) -> str:
    """The day of a time in microseconds UTC."""
    return datetime.fromtimestamp(time // 1_000_000, UTC).date().isoformat()


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.0512), percent(0.7), percent(0.0004)
    ('5.1 %', '70 %', '0.04 %')
    """
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share:.0%}".replace("%", " %")


def spoken(key: str) -> str:
    """A key of several parts for people, without the parts that are not known.

    >>> spoken("ios\x1f6.0.0"), spoken("web\x1funknown")
    ('ios 6.0.0', 'web')
    """
    return key.removesuffix(BETWEEN + UNKNOWN).replace(BETWEEN, " ")


def charts(counted: Counted) -> list[Chart]:
    """Every chart for which there is something to show."""
    found = [
        *(over_time(counted, *one) for one in SERIES),
        of_week(counted),
        places(counted),
        *_by_name(counted),
        funnel(counted, "reset", "Password reset: requested, completed", "reset requested", "reset completed"),
        funnel(counted, "mfa", "Second factor: offered, passed", "MFA offered", "MFA passed"),
        *engagement(counted),
        slowest(counted),
        failing(counted),
        incidents(counted),
    ]
    return [chart for chart in found if any(any(isinstance(cell, int | float) and cell for cell in row)
                                            for row in chart.rows)]  # fmt: skip


def over_time(counted: Counted, id_: str, title: str, action: str, outcomes: tuple[str, ...]) -> Chart:
    """A day's count beside that of the same weekday before; None where nothing of that day is known."""
    daily = counted.daily(action, outcomes)
    first = counted.first_day
    rows: list[list[Cell]] = [
        [date(day), daily.get(day, 0), daily.get(day - WEEK, 0) if day - WEEK >= first else None]
        for day in counted.days
    ]
    return Chart(
        id=id_, section="Over time", title=title, unit="events a day", kind="days",
        heads=["day", "count", "same weekday before"], rows=rows,
    )  # fmt: skip


def of_week(counted: Counted) -> Chart:
    """Logins by hour of the week, the mean of the range's weeks."""
    cells = [[0] * 24 for _ in range(7)]
    for time, count in counted.hours("login").items():
        at = datetime.fromtimestamp(time // 1_000_000, UTC)
        cells[at.weekday()][at.hour] += count
    days = [sum(datetime.fromtimestamp(day // 1_000_000, UTC).weekday() == at for day in counted.days)
            for at in range(7)]  # fmt: skip
    rows: list[list[Cell]] = [
        [_WEEKDAYS[at], *(round(count / max(1, days[at]), 1) for count in cells[at])] for at in range(7)
    ]
    return Chart(
        id="week", section="Over time", title="Login attempts by hour of the week", unit="a mean hour, UTC",
        kind="week", heads=["weekday", *(f"{hour:02}" for hour in range(24))], rows=rows,
    )  # fmt: skip


def places(counted: Counted) -> Chart:
    """Login attempts by city."""
    rows: list[list[Cell]] = []
    for name, one in _ranked(counted.anonymous("city")):
        city, country, lat, lon = name.split(BETWEEN) if BETWEEN in name else (name, "", "", "")
        rows.append([city, country, float(lat) if lat else None, float(lon) if lon else None, one.total, one.failures])
    return Chart(
        id="cities", section="Where from", title="Login attempts by city", unit="login attempts", kind="map",
        heads=["city", "country", "latitude", "longitude", "attempts", "failed"], rows=rows[:200],
        note=f'Cities with fewer than {ANONYMOUS} users are in "other"; "unknown" are addresses of no known city.',
    )  # fmt: skip


def _by_name(counted: Counted) -> list[Chart]:
    apps = {key: one for (key,), one in counted.sums("app", "key").items()}
    by_app: dict[str, Sum] = {}
    for key, one in apps.items():
        name = key.split(BETWEEN)[0]
        count, failures = by_app.get(name, Sum(0, 0))
        by_app[name] = Sum(count + one.total, failures + one.failures)
    versions = {spoken(key): one for key, one in apps.items()}
    factors = {f"{key} ({part.replace('mfa_challenge', 'second step')})": one
               for (key, part), one in counted.sums("factor", "key", "part").items()}  # fmt: skip
    logins = "login attempts"
    return [
        shares("countries", "Where from", "Login attempts by country", logins, _of(counted, "country")),
        shares("devices", "With what", "Login attempts by device", logins, counted.anonymous("device"),
               f'As the user agent says. Devices of fewer than {ANONYMOUS} users are in "other".'),
        shares("systems", "With what", "Login attempts by operating system", logins, _of(counted, "os")),
        shares("browsers", "With what", "Login attempts by browser", logins, _of(counted, "browser")),
        shares("apps", "With what", "Calls by app", "calls", by_app),
        shares("versions", "With what", "Calls by app and version", "calls", versions),
        shares("factors", "Signing in", "Attempts by factor", "attempts", factors),
    ]  # fmt: skip


def shares(id_: str, section: str, title: str, unit: str, found: dict[str, Sum], note: str = "") -> Chart:
    """How often each name comes, and how large a share of it failed, with Wilson's interval at 95 %."""
    ranked = [(name, one) for name, one in _ranked(found) if name != OTHER]
    rest = [*ranked[SHOWN:], *([(OTHER, found[OTHER])] if OTHER in found else [])]
    ranked = ranked[:SHOWN]
    if rest:
        ranked.append((OTHER, Sum(sum(one.total for _, one in rest), sum(one.failures for _, one in rest))))
    return Chart(
        id=id_, section=section, title=title, unit=unit, kind="shares",
        heads=["name", unit, "failed", "share", "from", "to"],
        rows=[[name, *one, *_share(one.failures, one.total)] for name, one in ranked], note=note,
    )  # fmt: skip


def funnel(counted: Counted, id_: str, title: str, first: str, then: str) -> Chart:
    """How many users came to the first step in the range, and how many of them to the next one, in it too."""
    sample = counted.people("funnel")
    inside = (sample.days >= counted.start) & (sample.days < counted.end)
    asked, done = (np.unique(sample.ids[inside & (sample.keys == name)]) for name in (first, then))
    rows: list[list[Cell]] = [
        [name, round(len(some) * sample.scale), *_share(len(some), len(asked))]
        for name, some in ((first, asked), (then, np.intersect1d(asked, done)))
    ]
    return Chart(
        id=id_, section="Signing in", title=title, unit="users", kind="steps",
        heads=["step", "users", "share", "from", "to"], rows=rows, note=_sampled(sample.scale),
    )  # fmt: skip


def engagement(counted: Counted) -> list[Chart]:
    """Active, new and returning users by day, and by week of the first visit how many came again."""
    sample = counted.people("active")
    order = np.lexsort((sample.days, sample.ids))
    ids, days = sample.ids[order], sample.days[order]
    once = _changes(ids) | _changes(days)
    ids, days = ids[once], days[once]
    first = days[np.searchsorted(ids, ids)]  # sorted by id, then day: an id's first row has its first day
    active, new = (dict(zip(*map(np.ndarray.tolist, np.unique(some, return_counts=True)), strict=True))
                   for some in (days, days[first == days]))  # fmt: skip
    rows: list[list[Cell]] = []
    for day in counted.days:
        here, fresh = active.get(day, 0), new.get(day, 0)
        rows.append([date(day), *(round(some * sample.scale) for some in (here, fresh, here - fresh))])
    note = f"New: not seen since {date(counted.first_day)}, where what is known begins. {_sampled(sample.scale)}"
    shown = Chart(
        id="active", section="Who comes", title="Active users a day: new and returning", unit="users",
        kind="stack", heads=["day", "active", "new", "returning"], rows=rows, note=note.strip(),
    )  # fmt: skip
    return [shown, _cohorts(counted, ids, days, first, sample.scale)]


def monday(day: int) -> int:
    """Where the week of a day begins; the epoch was a Thursday.

    >>> date(monday(1_793_577_600_000_000)), date(monday(1_793_491_200_000_000))
    ('2026-11-02', '2026-10-26')
    """
    return (day - 4 * DAY) // WEEK * WEEK + 4 * DAY


def _changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values differ from the one before."""
    out = np.ones(len(values), np.bool_)
    out[1:] = values[1:] != values[:-1]
    return out


def _cohorts(counted: Counted, ids: Ids, days: Days, first: Days, scale: float) -> Chart:
    """Of sorted visits, each person's by day."""
    most = max(1, min(12, (counted.end - counted.start) // WEEK))
    week = (days - 4 * DAY) // WEEK
    once = _changes(ids) | _changes(week)
    pairs = np.stack(((first[once] - 4 * DAY) // WEEK, week[once]))
    found, counts = np.unique(pairs[0] << 20 | pairs[1], return_counts=True)
    came = {divmod(pair, 1 << 20): count for pair, count in zip(found.tolist(), counts.tolist(), strict=True)}
    last = min(counted.end, int(days.max(initial=0)) + DAY)
    rows: list[list[Cell]] = []
    for begin in range(monday(counted.start + WEEK - DAY), counted.end - WEEK + 1, WEEK):
        at = (begin - 4 * DAY) // WEEK
        users = came.get((at, at), 0)
        later: list[Cell] = [
            round(came.get((at, at + after), 0) / users, 4) if users and begin + (after + 1) * WEEK <= last else None
            for after in range(1, most)
        ]
        rows.append([date(begin), round(users * scale), *later])
    return Chart(
        id="cohorts", section="Who comes", title="Came again, by week of the first visit",
        unit="share of the week's new users", kind="cohorts",
        heads=["first week", "new users", *(f"week {at}" for at in range(1, most))], rows=rows[-12:],
        note=f"Whole weeks from Monday, UTC. {_sampled(scale)}".strip(),
    )  # fmt: skip


def slowest(counted: Counted) -> Chart:
    """The endpoints whose slow calls are the slowest."""
    buckets: dict[str, dict[int, int]] = {}
    for (key, part), one in counted.sums("latency", "key", "part").items():
        if key != OTHER and part != UNKNOWN:
            buckets.setdefault(key, {})[int(part)] = one.total
    rows: list[list[Cell]] = [
        [key, sum(some.values()), quantile(some, 0.5), quantile(some, 0.95), quantile(some, 0.99)]
        for key, some in buckets.items()
        if sum(some.values()) >= LEAST_CALLS
    ]
    rows.sort(key=lambda row: (-float(row[3] or 0), str(row[0])))
    return Chart(
        id="slowest", section="Endpoints", title="Slowest endpoints: 95 of 100 calls take less", unit="milliseconds",
        kind="slow", heads=["endpoint", "calls", "median", "95 %", "99 %"], rows=rows[:SHOWN],
        note=f"Within 9 %: latencies are counted in steps. Endpoints with at least {LEAST_CALLS} calls.",
    )  # fmt: skip


def quantile(buckets: dict[int, int], share: float) -> float:
    """The latency below which a share of the calls lies, the middle of its bucket.

    >>> quantile({0: 90, 20: 10}, 0.5), quantile({0: 90, 20: 10}, 0.95)
    (1.1, 34.9)
    """
    left = share * sum(buckets.values())
    for step in sorted(buckets):
        left -= buckets[step]
        if left <= 0:
            return round(math.pow(2.0, (step + 0.5) / STEPS), 1)
    return math.inf


def failing(counted: Counted) -> Chart:
    """The endpoints that fail most surely most."""
    found = {key: one for (key,), one in counted.sums("endpoint", "key").items() if key != OTHER}
    told = [(key, one) for key, one in found.items() if one.total >= LEAST_CALLS and one.failures]
    told.sort(key=lambda row: (-wilson(row[1].failures, row[1].total)[0], row[0]))
    return Chart(
        id="failing", section="Endpoints", title="Most failing endpoints", unit="calls", kind="failing",
        heads=["endpoint", "calls", "failed", "share", "from", "to"],
        rows=[[key, *one, *_share(one.failures, one.total)] for key, one in told[:SHOWN]],
        note=f"In order of the interval's lower end. Endpoints with at least {LEAST_CALLS} calls.",
    )  # fmt: skip


def incidents(counted: Counted) -> Chart:
    """Incidents by detection, beside the range before."""
    now, before = counted.sums("detection", "key"), counted.sums("detection", "key", before=True)
    full = counted.start - (counted.end - counted.start) >= counted.first_day
    names = sorted(now, key=lambda key: (-now[key].total, key))[: 2 * SHOWN]
    rows: list[list[Cell]] = [
        [key[0], now[key].total, before.get(key, Sum(0, 0)).total if full else None] for key in names
    ]
    return Chart(
        id="incidents", section="Incidents", title="Incidents by detection", unit="incidents", kind="bars",
        heads=["detection", "incidents", "in the range before"], rows=rows,
    )  # fmt: skip


def _of(counted: Counted, measure: str) -> dict[str, Sum]:
    return {key: one for (key,), one in counted.sums(measure, "key").items()}


def _ranked(found: dict[str, Sum]) -> list[tuple[str, Sum]]:
    return sorted(found.items(), key=lambda row: (-row[1].total, row[0]))


def _share(count: int, of: int) -> tuple[float | None, float, float]:
    low, high = wilson(count, of)
    return round(count / of, 4) if of else None, round(low, 4), round(high, 4)


def _sampled(scale: float) -> str:
    return f"From a fair sample: one user stands for {scale:,.1f}." if scale > 1 else ""
