"""What the figures suggest, in sentences with their numbers and intervals: each a rule of its own."""

from collections.abc import Iterator
from math import sqrt
from statistics import median
from typing import Final

from flows.insights.aggregate import UNKNOWN
from flows.insights.counted import Counted, Sum
from flows.insights.figures import SERIES, percent, spoken
from flows.insights.report import Chart, Finding
from flows.insights.rows import OTHER
from flows.intervals import median_interval, wilson

RESET_NORM: Final = 0.05
"""Resets for each login attempt that are ordinary, as a yardstick: one in twenty."""
FAR: Final = 2.0
"""So many times the norm, at the lower end of the interval, is far above it."""
FEW_COMPLETE: Final = 0.5
FEW_ADDRESSES: Final = 5
CONCENTRATED: Final = 0.5
"""This share from `FEW_ADDRESSES` addresses is no crowd."""
LEAST: Final = 30
"""Fewer events than this say nothing."""
_DAYS: Final = 6
"""Of fewer days nothing is said."""
_SPIKE: Final = 3.0
_LEAST_RATIO: Final = 0.25
"""A change of a weekday's count by less than a fourth is not told."""


def findings(counted: Counted, charts: list[Chart]) -> list[Finding]:
    """All that can be said, the grave first."""
    by_id = {chart.id: chart for chart in charts}
    found = [
        *_resets(counted, by_id),
        *_concentrated(counted),
        *_spikes(by_id),
        *_changes(by_id),
        *_worse(counted),
        *_mfa(by_id),
        *_slow(by_id),
        *_failing(by_id),
        *_incidents(by_id),
        *_retention(by_id),
        *_quiet_hour(by_id),
    ]
    return sorted(found, key=lambda one: not one.grave)


def _resets(counted: Counted, charts: dict[str, Chart]) -> Iterator[Finding]:
    """Many resets, and what they are a sign of."""
    logins = sum(one.total for one in counted.sums("country", "key").values())
    addresses = counted.sums("ip_reset", "key")
    asked = sum(one.total for one in addresses.values())
    if asked < LEAST:
        return
    low, high = wilson(asked, asked + logins)
    if low <= FAR * RESET_NORM:
        return
    text = (
        f"{asked:,} password resets were requested beside {logins:,} login attempts: "
        f"{percent(asked / (asked + logins))} of both ({percent(low)} to {percent(high)}), "
        f"where about {percent(RESET_NORM)} is usual."
    )
    numbers = {"resets": asked, "logins": logins, "low": low, "high": high}
    top, share = _top(addresses)
    low_top, high_top = wilson(top, asked)
    if low_top > CONCENTRATED:
        yield Finding(
            id="resets_attack", grave=True,
            text=f"{text} {percent(share)} of them ({percent(low_top)} to {percent(high_top)}) came from "
            f"{min(FEW_ADDRESSES, len(addresses))} addresses or fewer: this looks like an attack on the reset, or a "
            "program that misuses it. Limit it by address, and look at those addresses.",
            numbers=numbers | {"of_top_addresses": share, "top_low": low_top, "top_high": high_top},
        )  # fmt: skip
        return
    steps = charts.get("reset")
    done = steps.rows[1] if steps else None
    if done and isinstance(done[4], float) and isinstance(done[2], float) and done[4] < FEW_COMPLETE:
        yield Finding(
            id="resets_forgotten", grave=True,
            text=f"{text} Only {percent(done[2])} of those who asked ({percent(float(done[3] or 0))} to "
            f"{percent(done[4])}) completed it, and they came from {len(addresses):,} addresses: people do not know "
            "their passwords and give up. Passwordless or social sign-in, or one-time codes, would spare them both.",
            numbers=numbers | {"completed": done[2], "completed_low": float(done[3] or 0), "completed_high": done[4]},
        )  # fmt: skip
        return
    yield Finding(
        id="resets_many", text=f"{text} Passwordless or social sign-in, or one-time codes, would spare many of them.",
        numbers=numbers,
    )  # fmt: skip


def _concentrated(counted: Counted) -> Iterator[Finding]:
    """Failed logins or sign-ups from few addresses."""
    for measure, what in (("ip_failure", "failed logins"), ("ip_register", "sign-ups")):
        addresses = counted.sums(measure, "key")
        total = sum(one.total for one in addresses.values())
        top, share = _top(addresses)
        low, high = wilson(top, total)
        if total >= LEAST and len(addresses) > FEW_ADDRESSES and low > CONCENTRATED:
            yield Finding(
                id=f"concentrated_{measure}", grave=True,
                text=f"{percent(share)} of {total:,} {what} ({percent(low)} to {percent(high)}) came from "
                f"{FEW_ADDRESSES} addresses: an attack, or one client that is wrongly set up.",
                numbers={"total": total, "share": share, "low": low, "high": high},
            )  # fmt: skip


def _spikes(charts: dict[str, Chart]) -> Iterator[Finding]:
    """A day that is far above all others; its interval is that of a count (Poisson, by its square root)."""
    for id_, title, *_ in SERIES:
        days = [(float(row[1] or 0), str(row[0])) for row in charts[id_].rows] if id_ in charts else []
        if len(days) < _DAYS:
            continue
        (most, day), usual = max(days), median(count for count, _ in days)
        low, high = (sqrt(most) - 0.98) ** 2, (sqrt(most) + 0.98) ** 2
        if most >= LEAST and low > _SPIKE * max(usual, 1):
            yield Finding(
                id=f"spike_{id_}", grave=id_ != "logins",
                text=f"{title} on {day}: {most:,.0f} ({low:,.0f} to {high:,.0f} by chance), where the median day has "
                f"{usual:,g}.",
                numbers={"count": most, "low": low, "high": high, "median": usual},
            )  # fmt: skip


def _changes(charts: dict[str, Chart]) -> Iterator[Finding]:
    """What is surely more or less than on the same weekday before."""
    for id_, title, *_ in SERIES:
        chart = charts.get(id_)
        rows = [(float(row[1] or 0), float(row[2])) for row in chart.rows if row[2]] if chart else []
        if len(rows) < _DAYS or sum(before for _, before in rows) < LEAST:
            continue
        middle, low, high = median_interval([now / before for now, before in rows])
        if low > 1 + _LEAST_RATIO or high < 1 - _LEAST_RATIO:
            yield Finding(
                id=f"change_{id_}", grave=id_ == "failures" and low > 1,
                text=f"{title} were {middle:.2f} times those of the same weekday before ({low:.2f} to {high:.2f}, "
                f"the median of {len(rows)} days).",
                numbers={"ratio": middle, "low": low, "high": high, "days": len(rows)},
            )  # fmt: skip


def _worse(counted: Counted) -> Iterator[Finding]:
    """The names of each kind that fail far more often than all others together."""
    for measure, what in (("app", "calls of app"), ("country", "login attempts from"),
                          ("browser", "login attempts with"), ("os", "login attempts on")):  # fmt: skip
        found = counted.sums(measure, "key")
        count, failures = (sum(column) for column in zip(*found.values(), strict=True)) if found else (0, 0)
        worst: tuple[float, str, Sum, Sum] | None = None
        for (key,), one in found.items():
            rest = Sum(count - one.total, failures - one.failures)
            low, above = wilson(one.failures, one.total)[0], wilson(rest.failures, rest.total)[1]
            if one.failures >= LEAST and key not in (OTHER, UNKNOWN) and rest.total and low > FAR * above:
                worst = max(worst or (0.0, "", one, rest), (low / above, key, one, rest))
        if worst:
            _, key, one, rest = worst
            low, high = wilson(one.failures, one.total)
            others = rest.failures / rest.total
            yield Finding(
                id=f"worse_{measure}", grave=True,
                text=f"{percent(one.failures / one.total)} of the {one.total:,} {what} {spoken(key)} "
                f"failed ({percent(low)} to {percent(high)}); of all others {percent(others)}.",
                numbers={"count": one.total, "share": one.failures / one.total, "low": low, "high": high,
                         "others": others},
            )  # fmt: skip


def _mfa(charts: dict[str, Chart]) -> Iterator[Finding]:
    chart = charts.get("mfa")
    if not chart or int(chart.rows[0][1] or 0) < LEAST:
        return
    share, low, high = (float(cell or 0) for cell in chart.rows[1][2:5])
    text = (
        f"{percent(share)} of the users who were asked for a second factor ({percent(low)} to {percent(high)}) passed."
    )
    if high < 0.9:
        text += " The others were stopped, or gave up: look at the factors below."
    yield Finding(id="mfa", text=text, numbers={"share": share, "low": low, "high": high}, grave=high < 0.9)


def _slow(charts: dict[str, Chart]) -> Iterator[Finding]:
    if chart := charts.get("slowest"):
        name, calls, middle, most, _ = chart.rows[0]
        yield Finding(
            id="slowest",
            text=f"The slowest endpoint is {name}: of {calls:,} calls half took more than {middle:g} ms and one in "
            f"twenty more than {most:g} ms.",
            numbers={"calls": float(calls or 0), "median": float(middle or 0), "p95": float(most or 0)},
        )  # fmt: skip


def _failing(charts: dict[str, Chart]) -> Iterator[Finding]:
    if chart := charts.get("failing"):
        name, calls, failed, share, low, high = chart.rows[0]
        yield Finding(
            id="failing",
            text=f"{name} fails most: {failed:,} of {calls:,} calls, {percent(float(share or 0))} "
            f"({percent(float(low or 0))} to {percent(float(high or 0))}).",
            numbers={"calls": float(calls or 0), "share": float(share or 0), "low": float(low or 0),
                     "high": float(high or 0)},
        )  # fmt: skip


def _incidents(charts: dict[str, Chart]) -> Iterator[Finding]:
    if chart := charts.get("incidents"):
        total = sum(int(row[1] or 0) for row in chart.rows)
        name, most, before = chart.rows[0]
        then = "" if before is None else f", {before:,} in the range before"
        yield Finding(
            id="incidents",
            text=f"{total:,} incidents were opened by {len(chart.rows)} detections, most by {name}: {most:,}{then}.",
            numbers={"incidents": total, "most": float(most or 0)},
        )


def _retention(charts: dict[str, Chart]) -> Iterator[Finding]:
    chart = charts.get("cohorts")
    told = (
        [(int(row[1] or 0), float(row[2])) for row in chart.rows if len(row) > 2 and row[2] is not None]
        if chart
        else []
    )
    users = sum(count for count, _ in told)
    if users >= LEAST:
        again = round(sum(count * share for count, share in told))
        low, high = wilson(again, users)
        yield Finding(
            id="retention",
            text=f"Of {users:,} new users {percent(again / users)} ({percent(low)} to {percent(high)}) came again in "
            "the week after.",
            numbers={"users": users, "share": again / users, "low": low, "high": high},
        )


def _quiet_hour(charts: dict[str, Chart]) -> Iterator[Finding]:
    """When maintenance disturbs fewest."""
    if not (chart := charts.get("week")):
        return
    hours = [(float(cell or 0), str(row[0]), at) for row in chart.rows for at, cell in enumerate(row[1:])]
    if sum(count for count, _, _ in hours) < 168:
        return
    least, most = min(hours), max(hours)
    yield Finding(
        id="quiet_hour",
        text=f"Quietest is {least[1]} {least[2]:02}:00 UTC with {least[0]:g} login attempts in the hour, busiest "
        f"{most[1]} {most[2]:02}:00 UTC with {most[0]:g}; the median hour has {median(h[0] for h in hours):g}.",
        numbers={"least": least[0], "most": most[0]},
    )


def _top(addresses: dict[tuple[str, ...], Sum]) -> tuple[int, float]:
    """How much the addresses with most have together, and its share; what is not by address counts for the others."""
    counts = sorted((one.total for (key,), one in addresses.items() if key not in (OTHER, UNKNOWN)), reverse=True)
    total = sum(one.total for one in addresses.values())
    top = sum(counts[:FEW_ADDRESSES])
    return top, top / total if total else 0.0
