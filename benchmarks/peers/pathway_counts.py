"""The job in Pathway, static: the file is read whole and grouped by entity and minute, each entity's minutes sorted.

As a stream Pathway would tell every count anew with each batch of events; the static run is its cheapest.
"""

import sys

from benchmarks.peers.job import DIMENSIONS, MINUTE, Smoothed
from benchmarks.peers.measured import main


def smoothed(minutes: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int, float], ...]:
    """An entity's minutes in their order, each with its z-score."""
    of = Smoothed()
    return tuple((minute, n, of.z(n)) for minute, n in minutes)


def job(events: str, output: str) -> None:
    """One graph of its own for each call."""
    import pathway as pw

    class Event(pw.Schema):
        time: str
        tenant: str
        ip: str | None = pw.column_definition(default_value=None)
        endpoint: str | None = pw.column_definition(default_value=None)
        user: str | None = pw.column_definition(default_value=None)

    pw.internals.parse_graph.G.clear()
    read = pw.io.jsonlines.read(events, schema=Event, mode="static")
    timed = read.with_columns(minute=pw.this.time.str.slice(0, MINUTE))
    keyed = pw.Table.concat_reindex(
        *(
            timed.filter(timed[name].is_not_none()).select(
                dimension=name, tenant=pw.this.tenant, entity=pw.unwrap(pw.this[name]), minute=pw.this.minute
            )
            for name in DIMENSIONS
        )
    )
    key = (pw.this.dimension, pw.this.tenant, pw.this.entity)
    counts = keyed.groupby(*key, pw.this.minute).reduce(*key, pw.this.minute, n=pw.reducers.count())
    entities = counts.groupby(*key).reduce(
        *key, minutes=pw.reducers.sorted_tuple(pw.make_tuple(pw.this.minute, pw.this.n))
    )
    scored = entities.select(
        *key, row=pw.apply_with_type(smoothed, tuple[tuple[str, int, float], ...], pw.this.minutes)
    )
    flat = scored.flatten(pw.this.row)
    rows = flat.select(*key, minute=pw.this.row[0], n=pw.this.row[1], z=pw.this.row[2])
    pw.io.jsonlines.write(rows, output)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    sys.exit(main(job, packages=("pathway",)))
