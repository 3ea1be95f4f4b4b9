# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["pathway>=0.20"]
# ///
"""Counts by address and minute in Pathway: a static read of the file, grouped by address and minute."""

import sys

from job import FAILED, Counts, main


def job(path: str) -> Counts:
    """A file's counts."""
    import pathway as pw

    class Event(pw.Schema):
        time: str
        ip: str | None
        action: str | None
        outcome: str | None

    events = pw.io.jsonlines.read(path, schema=Event, mode="static").filter(pw.this.ip.is_not_none())
    failed = pw.apply(
        lambda action, outcome: int(action == "login" and outcome in FAILED), pw.this.action, pw.this.outcome
    )
    rows = events.select(pw.this.ip, minute=pw.apply(lambda time: time[:16], pw.this.time), failed=failed)
    counts = rows.groupby(pw.this.ip, pw.this.minute).reduce(
        n=pw.reducers.count(), failed=pw.reducers.sum(pw.this.failed)
    )
    total = counts.reduce(
        windows=pw.reducers.count(), events=pw.reducers.sum(pw.this.n), failed=pw.reducers.sum(pw.this.failed)
    )
    _, columns = pw.debug.table_to_dicts(total)
    windows, seen, failures = (next(iter(columns[name].values())) for name in ("windows", "events", "failed"))
    return int(windows), int(seen), int(failures)


if __name__ == "__main__":
    sys.exit(main("pathway", "pathway", job, sys.argv[1:]))
