"""Who calls an endpoint wrongly: bad requests, not found, not processable, by client and version."""

from collections import Counter
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flows.troubleshoot.shares import LEAST, MOST_GROUPS, OTHER, Share, differs, share

WRONG: Final = (400, 404, 422)
COLUMNS: Final = ("endpoint", "app", "app_version", "method", "status", "error_code", "user_id")
_MOST_PEOPLE: Final = 1_000_000


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An app's version and its wrong calls. `stands_out`: beyond chance more than all others; None: too few to tell."""

    client: str
    version: str
    method: str
    wrong: Share
    rest: Share
    stands_out: bool | None
    statuses: dict[str, int]
    error_codes: dict[str, int]
    people: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The clients of an endpoint, those that stand out first, then by the least share that is wrong."""

    endpoint: str
    calls: int
    wrong: int
    sentence: str
    clients: list[Client]


_Key = tuple[str, str, str]


class Calls:
    """The calls of one endpoint, counted by method, client and version."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._calls: Counter[_Key] = Counter()
        self._statuses: dict[_Key, Counter[str]] = {}
        self._codes: dict[_Key, Counter[str]] = {}
        self._people: dict[_Key, set[bytes]] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows of the trail with `COLUMNS`."""
        for row in batch.filter(pc.equal(batch.column("endpoint"), self.endpoint)).to_pylist():
            key = (row["app"] or "(no app)", row["app_version"] or "", row["method"] or "")
            if key not in self._calls and len(self._calls) >= MOST_GROUPS:
                key = (OTHER, "", "")
            self._calls[key] += 1
            if row["status"] in WRONG:
                self._statuses.setdefault(key, Counter())[str(row["status"])] += 1
                codes = self._codes.setdefault(key, Counter())
                if row["error_code"] is not None and (row["error_code"] in codes or len(codes) < MOST_GROUPS):
                    codes[row["error_code"]] += 1
                people = self._people.setdefault(key, set())
                if row["user_id"] is not None and len(people) < _MOST_PEOPLE:
                    people.add(row["user_id"])

    def report(self) -> Report:
        """What was found."""
        wrong = {key: sum(self._statuses.get(key, Counter()).values()) for key in self._calls}
        calls, total = sum(self._calls.values()), sum(wrong.values())
        made = []
        for key, count in self._calls.items():
            here, rest = share(wrong[key], count), share(total - wrong[key], calls - count)
            client, version, method = key
            made.append(
                Client(
                    client=client, version=version, method=method, wrong=here, rest=rest,
                    stands_out=differs(here, rest), statuses=_most(self._statuses.get(key)),
                    error_codes=_most(self._codes.get(key)), people=len(self._people.get(key, ())),
                )
            )  # fmt: skip
        made.sort(key=lambda one: (not one.stands_out, -one.wrong.low, one.client, one.version, one.method))
        return Report(endpoint=self.endpoint, calls=calls, wrong=total, clients=made,
                      sentence=_sentence(self.endpoint, made, calls, total))  # fmt: skip


def _most(counts: Counter[str] | None) -> dict[str, int]:
    found = counts or Counter()
    return {name: found[name] for name in sorted(found, key=lambda name: (-found[name], name))[:5]}


def _sentence(endpoint: str, made: list[Client], calls: int, total: int) -> str:
    if calls < LEAST:
        return f"Cannot tell: {endpoint} was called {calls:,} times."
    if not total:
        return f"None of {calls:,} calls of {endpoint} was a wrong one (400, 404 or 422)."
    out = [one for one in made if one.stands_out]
    if not out:
        return f"{total:,} of {calls:,} calls of {endpoint} are wrong (400, 404 or 422), and no client stands out."
    first = out[0]
    name = " ".join(filter(None, (first.client, first.version)))
    codes = ", ".join(f"{code} ({count:,})" for code, count in first.statuses.items())
    return (
        f"{name} calls {' '.join(filter(None, (first.method, endpoint)))} wrongly: {first.wrong} of its calls, of all "
        f"others {first.rest}; statuses {codes}."
    )
