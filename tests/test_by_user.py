"""A day of the trail in the order of users: any rows, however many, and what happens to a table meanwhile."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.trail.by_user import AT_ONCE, by_user
from flows.trail.compact import compact, in_order_of_users
from flows.trail.store import Conflict, Store
from tests.test_trail import hashes
from tests.trails import archived, lines, whole

IDS = [None, *(bytes([a, b]) + bytes(14) for a in (0, 7, 8, 255) for b in (0, 255)), bytes(15) + b"\x01"]
"""Some share their first bits, two all of their first eight bytes."""
LEAVES = st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 3), st.sampled_from("ab")), max_size=60)


@given(LEAVES, st.integers(1, 9), st.sampled_from([1, 200, 1_000, 1 << 30]))
def test_any_rows_come_out_in_order_and_each_once(
    found: list[tuple[bytes | None, int, str]], piece: int, at_once: int
) -> None:
    rows = [{"user_id": id_, "time": time, "log": log, "leaf": leaf} for leaf, (id_, time, log) in enumerate(found)]
    schema = pa.schema({"user_id": pa.binary(), "time": pa.int64(), "log": pa.string(), "leaf": pa.int64()})
    table = pa.Table.from_pylist(rows, schema)
    batches = table.to_batches(max_chunksize=piece)
    got = [row for batch in by_user(batches, table.nbytes, None, at_once) for row in batch.to_pylist()]
    assert sorted(row["leaf"] for row in got) == list(range(len(rows)))
    heads = [b"\xff" * 9 if row["user_id"] is None else row["user_id"][:8] for row in got]
    assert heads == sorted(heads)
    if table.nbytes <= at_once:
        last = {None: b"\xff" * 17}
        order = [(last.get(r["user_id"], r["user_id"]), r["time"], r["log"], r["leaf"]) for r in got]
        assert order == sorted(order)


def test_what_waits_on_disk_has_no_name_there(tmp_path: Path) -> None:
    """So nothing of it is left, however the process ends; and it is where there is room for it."""
    batch = pa.record_batch({
        "user_id": [os.urandom(16) for _ in range(2_000)], "time": [0] * 2_000, "log": ["a"] * 2_000,
        "leaf": list(range(2_000)), "raw": [os.urandom(500) for _ in range(2_000)],
    })  # fmt: skip
    coming = by_user([batch], batch.nbytes, str(tmp_path), 100_000)
    next(coming)
    held = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{number}")]  # fmt: skip
    assert sum(name.startswith(str(tmp_path)) for name in held) > 10
    assert not list(tmp_path.iterdir())
    assert sum(rest.num_rows for rest in coming) > 1_900


def test_a_day_that_does_not_fit_into_memory_is_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.trail.by_user.by_user.__defaults__", (None, 100_000))
    monkeypatch.setattr("flows.trail.store.FILE_BYTES", 1 << 20)
    monkeypatch.setattr("flows.trail.written.ROW_GROUP", 256)
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(lines(6_000)))
    archived(tmp_path / "a.ndjson", tmp_path, compact=False)
    before = hashes(tmp_path, ("events",))
    store = Store.open(str(tmp_path / "trail"), "events")
    assert sum(file.size for file in store.files()) > 20 * 100_000
    assert compact(store) > 0
    assert hashes(tmp_path, ("events",)) == before
    assert whole(tmp_path)
    files, groups = store.files(), 0
    for file in files:
        with store.folder.open(file.path) as (parquet, _):
            assert in_order_of_users(parquet)
            assert parquet.metadata.num_rows == file.rows
            groups += parquet.metadata.num_row_groups
    assert groups < sum(file.rows for file in files) / 256 + 2 * len(files)
    assert len(files) > len({(file.tree, file.day) for file in files})  # a day of several files, each after the other
    assert compact(store) == 0
    assert AT_ONCE > 100_000


def test_of_two_that_sort_a_day_one_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(lines(500)))
    archived(tmp_path / "a.ndjson", tmp_path, compact=False)
    one, other = (Store.open(str(tmp_path / "trail"), "events") for _ in range(2))
    before, day = hashes(tmp_path, ("events",)), max(one.files(), key=lambda file: file.rows)
    one.sort(day.tree, day.day)
    with pytest.raises(Conflict):
        other.sort(day.tree, day.day)
    assert hashes(tmp_path, ("events",)) == before
    assert whole(tmp_path)


def test_what_is_added_while_a_day_is_sorted_stays(tmp_path: Path) -> None:
    for name, count in (("a", 500), ("b", 700)):
        (tmp_path / f"{name}.ndjson").write_bytes(b"\n".join(lines(count)))
    archived(tmp_path / "a.ndjson", tmp_path, compact=False)
    store = Store.open(str(tmp_path / "trail"), "events")
    day = max(store.files(), key=lambda file: file.rows)
    archived(tmp_path / "b.ndjson", tmp_path, compact=False)
    before = hashes(tmp_path, ("events",))
    store.sort(day.tree, day.day)
    assert hashes(tmp_path, ("events",)) == before
    assert whole(tmp_path)
