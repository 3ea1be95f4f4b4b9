"""The rows of aggregates: counts that add up in any order, bounded however many names come."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.insights.sketch import union

ROWS: Final = pa.schema(
    [
        pa.field("tree", pa.string(), nullable=False),
        pa.field("day", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("measure", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("failures", pa.int64(), nullable=False),
        pa.field("users", pa.binary()),
        pa.field("name", pa.binary()),
    ]
)
"""What is counted (`measure`) of what (`key`, and its `part`) from `time` on, an hour or a day. `users` is the sketch
of whom it was, where that is kept; `name` what a `key` that is a token stands for, sealed."""
BY: Final = ("tree", "day", "tenant", "time", "measure", "key", "part")
"""What tells rows apart."""
OTHER: Final = "other"
"""The key of all names that there was no room for."""
KEYS: Final = 200
"""Names of a measure of a tenant's day that keep rows of their own: those that count most."""
DAILY: Final = 2_048
"""Size of the sketch of a day's users, exact up to it; an error of 2 % beyond."""
ANONYMOUS: Final = 5
"""Fewer users than this make a city or a device "other" in what is shown."""
SKETCH: Final = {"active": DAILY, "funnel": DAILY, "city": ANONYMOUS, "device": ANONYMOUS}
"""Measures that keep who it was, and how many at most."""


def merged(rows: pa.Table) -> pa.Table:
    """The rows of several accumulations as one: sums, and unions of sketches. Any order and grouping gives the same."""
    if not rows.num_rows:
        return ROWS.empty_table()
    rows = rows.cast(ROWS).combine_chunks()
    at = pa.array(np.arange(rows.num_rows))
    groups = (
        rows.append_column("row", at)
        .group_by(list(BY))
        .aggregate([("count", "sum"), ("failures", "sum"), ("name", "min"), ("users", "count"), ("users", "list")])
        .sort_by([(name, "ascending") for name in BY])
    )
    users = [
        union((one for one in some if one is not None), SKETCH[measure]) if count else None
        for some, count, measure in zip(
            groups["users_list"].to_pylist(), groups["users_count"].to_pylist(), groups["measure"].to_pylist(),
            strict=True,
        )
    ]  # fmt: skip
    columns = [*(groups[name] for name in BY), groups["count_sum"], groups["failures_sum"]]
    return pa.table([*columns, pa.array(users, pa.binary()), groups["name_min"]], schema=ROWS)


def bounded(rows: pa.Table, most: int = KEYS) -> pa.Table:
    """The rows with at most so many keys of a measure of a tenant's day; the others together are `OTHER`.

    No count is lost: only whose it was. The keys that count most stay, of equals the first by name.
    """
    of = ["tree", "day", "tenant", "measure"]
    sums = rows.group_by([*of, "key"]).aggregate([("count", "sum")])
    sums = sums.sort_by([*((name, "ascending") for name in of), ("count_sum", "descending"), ("key", "ascending")])
    places, _, starts = _codes(sums, of)
    rank = np.arange(sums.num_rows) - starts[places]
    keep = sums.filter(pa.array(rank < most)).select([*of, "key"])
    if keep.num_rows == sums.num_rows:
        return rows
    wanted = keep.append_column("kept", pa.array(np.ones(keep.num_rows, bool)))
    marked = rows.append_column("row", pa.array(np.arange(rows.num_rows)))
    joined = marked.select([*of, "key", "row"]).join(wanted, [*of, "key"], join_type="left outer").sort_by("row")
    kept = pc.fill_null(joined["kept"], False)
    key = pc.if_else(kept, rows["key"], OTHER)
    name = pc.if_else(kept, rows["name"], pa.scalar(None, pa.binary()))
    out = rows.set_column(ROWS.names.index("key"), ROWS.field("key"), key)
    return merged(out.set_column(ROWS.names.index("name"), ROWS.field("name"), name))


def _codes(table: pa.Table, names: list[str]) -> tuple[np.ndarray, int, np.ndarray]:
    """For sorted rows: the number of each one's group, how many there are, and where each begins."""
    change = np.zeros(table.num_rows, bool)
    for name in names:
        column = pc.dictionary_encode(table[name].combine_chunks()).indices.to_numpy(zero_copy_only=False)
        change[1:] |= column[1:] != column[:-1]
    groups = np.cumsum(change)
    starts = np.flatnonzero(np.concatenate((np.ones(min(1, table.num_rows), bool), change[1:])))
    return groups, len(starts), starts
