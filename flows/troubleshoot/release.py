"""What a release changed: errors by endpoint before it, with it, and beside it, and how many people they hit."""

from collections import Counter
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flows.troubleshoot.shares import MOST_GROUPS, OTHER, Share, differs, share

FIRST: Final = ("time", "app", "app_version")
COLUMNS: Final = ("time", "app", "app_version", "method", "endpoint", "status", "outcome", "user_id")
ENOUGH: Final = 20
"""Calls of which a share is compared."""
_MOST_PEOPLE: Final = 1_000_000


class Seen(msgspec.Struct, kw_only=True):
    """When a version was first and last seen, and of which apps."""

    version: str
    first: int | None = None
    last: int | None = None
    apps: set[str | None] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows with `FIRST`."""
        rows = batch.filter(pc.equal(batch.column("app_version"), self.version))
        if not rows.num_rows:
            return
        times = rows.column("time").to_pylist()
        self.first = min(times) if self.first is None else min(self.first, *times)
        self.last = max(times) if self.last is None else max(self.last, *times)
        self.apps |= set(rows.column("app").unique().to_pylist())


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of one endpoint: `before` the release, `with_it`, and `beside`, with other versions in its time.

    `verdict`: "worse" (than before, or where too few calls were before than beside), "worse everywhere" (beside it
    too, so it is not the release), "better", "same", "cannot tell". `people` met an error there with the release.
    """

    endpoint: str
    before: Share
    with_it: Share
    beside: Share
    verdict: str
    people: int
    statuses: dict[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a release changed. Times are microseconds UTC; `people` met an error on an endpoint that is worse."""

    version: str
    apps: list[str]
    first: int
    last: int
    before_from: int
    sentence: str
    endpoints: list[Endpoint]
    people: int
    users: list[str] = []


class Release:
    """Calls of a release's app before, with and beside it, counted."""

    def __init__(self, seen: Seen) -> None:
        if seen.first is None or seen.last is None:
            raise ValueError("a version that was never seen")
        self._version, self._apps = seen.version, seen.apps
        self.first, self.last = seen.first, seen.last
        self.before_from = self.first - max(self.last - self.first, 86_400_000_000)
        self._calls: Counter[tuple[str, str]] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._statuses: dict[str, Counter[str]] = {}
        self._hit: dict[str, set[bytes]] = {}
        self._endpoints: set[str] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows with `COLUMNS`."""
        for row in batch.to_pylist():
            phase = self._phase(row)
            if phase:
                self._add(phase, row)

    def _phase(self, row: dict[str, Any]) -> str:
        if row["app"] not in self._apps or not self.before_from <= row["time"] <= self.last:
            return ""
        if row["app_version"] == self._version:
            return "with"
        return "before" if row["time"] < self.first else "beside"

    def _add(self, phase: str, row: dict[str, Any]) -> None:
        endpoint = " ".join(filter(None, (row["method"], row["endpoint"]))) or "(no endpoint)"
        if endpoint not in self._endpoints:
            if len(self._endpoints) >= MOST_GROUPS:
                endpoint = OTHER
            self._endpoints.add(endpoint)
        self._calls[phase, endpoint] += 1
        if not is_error(row["status"], row["outcome"]):
            return
        self._errors[phase, endpoint] += 1
        if phase == "with":
            told = str(row["status"] or row["outcome"])
            self._statuses.setdefault(endpoint, Counter())[told] += 1
            hit = self._hit.setdefault(endpoint, set())
            if row["user_id"] is not None and len(hit) < _MOST_PEOPLE:
                hit.add(row["user_id"])

    def report(self) -> Report:
        """What was found, the worst first."""
        made = sorted(map(self._endpoint, self._endpoints), key=lambda one: (_ORDER[one.verdict], -one.with_it.low,
                                                                             one.endpoint))  # fmt: skip
        worse = [one for one in made if one.verdict == "worse"]
        people = len(set().union(*(self._hit.get(one.endpoint, set()) for one in worse)))
        return Report(
            version=self._version, apps=sorted(app or "(no app)" for app in self._apps), first=self.first,
            last=self.last, before_from=self.before_from, endpoints=made, people=people,
            sentence=_sentence(self._version, made, worse, people),
        )  # fmt: skip

    def _endpoint(self, endpoint: str) -> Endpoint:
        before, with_it, beside = (
            share(self._errors[phase, endpoint], self._calls[phase, endpoint]) for phase in ("before", "with", "beside")
        )
        statuses = self._statuses.get(endpoint, Counter())
        return Endpoint(
            endpoint=endpoint, before=before, with_it=with_it, beside=beside, verdict=verdict(before, with_it, beside),
            people=len(self._hit.get(endpoint, ())), statuses=dict(statuses.most_common(5)),
        )  # fmt: skip


_ORDER: Final = {"worse": 0, "worse everywhere": 1, "better": 2, "same": 3, "cannot tell": 4}


def verdict(before: Share, with_it: Share, beside: Share) -> str:
    """What the shares of errors say of a release.

    >>> verdict(share(2, 200), share(90, 200), share(1, 100)), verdict(share(2, 200), share(90, 200), share(50, 100))
    ('worse', 'worse everywhere')
    >>> verdict(share(0, 3), share(3, 3), share(0, 0))
    'cannot tell'
    """
    reference = before if before.of >= ENOUGH else beside
    if with_it.of < ENOUGH or reference.of < ENOUGH:
        return "cannot tell"
    if differs(with_it, reference):
        return "worse everywhere" if beside.of >= ENOUGH and not differs(with_it, beside) else "worse"
    return "better" if differs(reference, with_it) else "same"


def is_error(status: int | None, outcome: str | None) -> bool:
    """Status 400 and above; without a status what failed or was blocked."""
    return status >= 400 if status is not None else outcome in ("failure", "blocked")


def _sentence(version: str, made: list[Endpoint], worse: list[Endpoint], people: int) -> str:
    told = [one for one in made if one.verdict != "cannot tell"]
    if not told:
        return f"Cannot tell: of no endpoint there are {ENOUGH} calls with {version} and {ENOUGH} to compare them with."
    if not worse:
        return f"No endpoint fails more often with {version} than before it or beside it, of {len(told):,} compared."
    first = worse[0]
    reference = f"before it {first.before}" if first.before.of >= ENOUGH else f"with other versions {first.beside}"
    more = f", and {len(worse) - 1:,} more endpoints are worse" if len(worse) > 1 else ""
    return (
        f"{version} breaks {first.endpoint}: {first.with_it} fail with it, {reference}{more}; {people:,} people met an "
        "error there."
    )
