"""What others met in the same time: with the same version of an app, from the same network, at all."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from flows.troubleshoot.shares import MOST_GROUPS, OTHER, Group, Share, share

ATTEMPTS: Final = ("login", "mfa_challenge", "token_issue")
"""Actions that are part of getting in."""
COLUMNS: Final = (
    "action", "outcome", "reason", "error_code", "status", "app", "app_version", "asn", "country", "user_id",
)  # fmt: skip
GOT_IN, FAILED, BLOCKED, BROKE = 1, 2, 4, 8
_MOST_PEOPLE: Final = 1_000_000


def fared(action: str | None, outcome: str | None, reason: str | None, status: int | None) -> int:
    """How an attempt went, as flags.

    >>> fared("login", "success", None, 200), fared("login", "failure", "server_error", 500) == FAILED | BROKE
    (1, True)
    """
    if outcome == "success":
        return GOT_IN
    if outcome not in ("failure", "blocked"):
        return 0
    blocked = outcome == "blocked" or reason in ("forbidden", "rate_limited") or status in (403, 429)
    broke = reason == "server_error" or (status or 0) >= 500
    return FAILED | (BLOCKED if blocked else 0) | (BROKE if broke else 0)


class Others:
    """Everybody else's attempts in a range, by person: a person who retries counts once.

    Memory is a few bytes for each person, of whom at most a million are told apart.
    """

    def __init__(self, own: frozenset[bytes]) -> None:
        self._own = own
        self._fared: dict[str, dict[str, dict[bytes, int]]] = {"version": {}, "network": {}, "country": {}, "": {}}
        self._errors: dict[str, Counter[str]] = {}
        self._people = 0
        self.attempts = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows of the trail with `COLUMNS`."""
        rows = batch.filter(pc.is_in(batch.column("action"), pa.array(ATTEMPTS)))
        for row in rows.to_pylist():
            who = row["user_id"]
            if who is not None and who not in self._own:
                self._add(who, row)

    def _add(self, who: bytes, row: dict[str, Any]) -> None:
        flags = fared(row["action"], row["outcome"], row["reason"], row["status"])
        self.attempts += 1
        version = version_of(row["app"], row["app_version"])
        of = {"": "", "version": version, "network": row["asn"] and f"AS{row['asn']}", "country": row["country"]}
        for dimension, value in of.items():
            if value is None:
                continue
            groups = self._fared[dimension]
            if value not in groups and len(groups) >= MOST_GROUPS:
                value = OTHER
            people = groups.setdefault(value, {})
            if who not in people:
                if self._people >= _MOST_PEOPLE:
                    continue
                self._people += 1
            people[who] = people.get(who, 0) | flags
        if flags & FAILED and version is not None:
            key = version if version in self._fared["version"] else OTHER
            self._errors.setdefault(key, Counter())[row["reason"] or row["error_code"] or "?"] += 1

    def people(self) -> int:
        """How many others tried."""
        return len(self._fared[""].get("", ()))

    def got_in(self) -> int:
        """How many of them got in."""
        return sum(1 for flags in self._fared[""].get("", {}).values() if flags & GOT_IN)

    def all_of(self, counts: Callable[[int], bool]) -> Share:
        """How many of all fared so."""
        people = self._fared[""].get("", {})
        return share(sum(map(counts, people.values())), len(people))

    def compared(self, dimension: str, value: str | None, counts: Callable[[int], bool]) -> Group | None:
        """How many with a value fared so, beside all with another; None where nobody else had it."""
        groups = self._fared[dimension]
        if value is None or value not in groups:
            return None
        found = {name: (sum(map(counts, people.values())), len(people)) for name, people in groups.items()}
        here = found.pop(value)
        return Group(value, share(*here), share(sum(k for k, _ in found.values()), sum(n for _, n in found.values())))

    def usual_error(self, version: str) -> str | None:
        """What those who failed with a version most often met."""
        found = self._errors.get(version)
        return min(found, key=lambda name: (-found[name], name)) if found else None


def shut_out(flags: int) -> bool:
    """Failed, and never got in."""
    return bool(flags & FAILED) and not flags & GOT_IN


def turned_away(flags: int) -> bool:
    """Blocked, and never got in."""
    return bool(flags & BLOCKED) and not flags & GOT_IN


def met_errors(flags: int) -> bool:
    """Met an error of the server, and never got in."""
    return bool(flags & BROKE) and not flags & GOT_IN


def version_of(app: str | None, version: str | None) -> str | None:
    """An app's version as one name; None without a version."""
    return f"{app} {version}" if app and version else version
