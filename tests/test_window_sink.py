"""Closed windows: each row in the table once, whatever crashes."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.connectors.output_directory import PARTS, WINDOWS
from flows.connectors.window_sink import WindowSink, merge_windows
from flows.errors import OutputError
from flows.formats.windows import MEASURED, SCHEMA, table
from tests.sinks import EPOCHS, file_size_limit, part_of, windows


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@settings(max_examples=12, deadline=None)
@given(EPOCHS.filter(lambda epochs: all(crash != "torn" for _, crash, _ in epochs)), st.integers(0, 20))
@example([([1], "none", 0.0), ([2], "sealed", 0.0)], 0)
def test_each_window_is_in_the_table_once(epochs: list[tuple[list[int], str, float]], quiet: int) -> None:
    epochs = epochs + [([1], "none", 0.0)] * quiet  # enough epochs that parts are joined
    directory = tempfile.mkdtemp()
    try:
        sink = WindowSink(directory, True, pa.concat_tables)
        part, state, position = part_of(sink, None), None, 0
        for batches, crash, _ in epochs:
            at, crashed = position, crash.startswith("open")
            for count in batches:
                part.write_batch([[], [windows(at, at + count)]])
                at += count
            if not crashed and batches:
                new = part.snapshot()
                crashed = crash.startswith("sealed")
                if not crashed:
                    state, position = new, at
            if crashed or crash.startswith("durable"):
                if crash.endswith("closed"):
                    part.close()
                part = part_of(sink, state)
        part.close()
        # An epoch that never became durable leaves a part that only a start removes: a clean end has none.
        part_of(sink, state).close()
        assert len(list((Path(directory) / PARTS).glob("windows-*"))) < 64
        merge_windows(directory)
        merge_windows(directory)
        rows = pq.read_table(Path(directory) / WINDOWS)
        assert sorted(rows["start"].cast("int64").to_pylist()) == list(range(position))
        part = part_of(sink, state)  # and the next run goes on
        part.write_batch([[windows(position, position + 2)]])
        part.snapshot()
        merge_windows(directory)
        rows = pq.read_table(Path(directory) / WINDOWS)
        assert rows["start"].cast("int64").to_pylist() == list(range(position + 2))
    finally:
        shutil.rmtree(directory)


def test_a_crash_between_merge_and_removal_doubles_no_window(out: Path) -> None:
    sink = WindowSink(str(out), True, pa.concat_tables)
    part = part_of(sink, None)
    for i in range(3):
        part.write_batch([[windows(i, i + 1)]])
        state = part.snapshot()
    parts = out / PARTS
    kept = out.parent / "kept"
    shutil.copytree(parts, kept)
    merge_windows(str(out))
    shutil.copytree(kept, parts, dirs_exist_ok=True)
    part_of(sink, state).close()
    merge_windows(str(out))
    assert pq.read_table(out / WINDOWS)["entity"].to_pylist() == ["e0", "e1", "e2"]
    assert not list(parts.glob("windows-*"))


def test_a_crash_while_parts_are_joined_doubles_no_window(out: Path) -> None:
    sink = WindowSink(str(out), True, pa.concat_tables)
    part = part_of(sink, None)
    for i in range(16):
        part.write_batch([[windows(i, i + 1)]])
        state = part.snapshot()
    kept = out.parent / "kept"
    shutil.copytree(out / PARTS, kept)
    part.write_batch([[]])  # the epochs before are durable: their parts are joined
    assert [file.name for file in (out / PARTS).glob("windows-*")] == ["windows-000000000000-000000000015.parquet"]
    shutil.copytree(kept, out / PARTS, dirs_exist_ok=True)
    part_of(sink, state).close()
    merge_windows(str(out))
    assert pq.read_table(out / WINDOWS)["start"].cast("int64").to_pylist() == list(range(16))


def test_a_table_without_windows_still_has_its_columns(out: Path) -> None:
    part_of(WindowSink(str(out), False, pa.concat_tables), None).close()
    merge_windows(str(out))
    rows = pq.read_table(out / WINDOWS)
    assert rows.num_rows == 0
    assert rows.schema.names == SCHEMA.names


def test_windows_without_state_replace_those_of_the_run_before(out: Path) -> None:
    for first in (0, 100):
        part = part_of(WindowSink(str(out), False, pa.concat_tables), None)
        part.write_batch([[windows(first, first + 70_000), windows(first + 70_000, first + 70_001)]])
        assert part.snapshot() is None
        part.close()
        merge_windows(str(out))
        assert pq.read_table(out / WINDOWS)["start"].cast("int64").to_pylist() == list(range(first, first + 70_001))


def test_a_foreign_table_of_windows_is_named(out: Path) -> None:
    sink = WindowSink(str(out), True, pa.concat_tables)
    part = part_of(sink, None)
    part.write_batch([[windows(0, 1)]])
    state = part.snapshot()
    (out / WINDOWS).write_bytes(b"not a table")
    with pytest.raises(OutputError, match=r"windows\.parquet: not a table"):
        part_of(sink, state)


def test_a_damaged_part_is_named(out: Path) -> None:
    for first in (0, 30_000, 60_000):
        part = part_of(WindowSink(str(out), True, pa.concat_tables), (1, first // 30_000) if first else None)
        part.write_batch([[windows(first, first + 30_000)]])
        part.snapshot()
        part.close()
    damaged = out / PARTS / "windows-000000000001-000000000001.parquet"
    text = damaged.read_bytes()
    damaged.write_bytes(text[:1000] + bytes(len(text) - 3000) + text[-2000:])
    with pytest.raises(OutputError, match=rf"{damaged.name}: (cannot be read|not a table)"):
        merge_windows(str(out))


@pytest.mark.parametrize("staged", [False, True])
def test_what_a_killed_run_left_behind_goes_with_the_next_start(out: Path, staged: bool) -> None:
    part = part_of(WindowSink(str(out), staged, pa.concat_tables), None)
    part.write_batch([[windows(0, 1)]])
    state = part.snapshot()
    part.close()
    left = out / PARTS / "windows-000000000007-000000000007.parquet.tmp"
    left.write_bytes(b"half a table")
    part_of(WindowSink(str(out), staged, pa.concat_tables), state).close()
    assert not left.exists()


def test_behind_the_flow_a_full_disk_is_told_and_leaves_no_draft(out: Path) -> None:
    part = part_of(WindowSink(str(out), False, pa.concat_tables), None)
    with file_size_limit(100):
        part.write_batch([[windows(0, 50_000)]])
        with pytest.raises(OutputError, match="the quota or the greatest file size"):
            part.snapshot()
    part.close()
    assert not [*(out / PARTS).iterdir()]


def test_a_step_that_fails_leaves_no_draft_behind_the_flow(out: Path) -> None:
    part = part_of(WindowSink(str(out), False, pa.concat_tables), None)
    part.write_batch([[windows(0, 50_000)]])
    part.close()
    assert not [*(out / PARTS).iterdir()]


def test_the_columns_of_a_window() -> None:
    rows = table({
        "tenant": ["a", "b"], "dimension": "user", "entity": ["u", "\N{SNOWMAN}"], "detector": "ewma",
        "start": [0, 1], "end": [2, 3], "guarded": np.array([True, False]), "score": [np.nan, 1.5],
        "sample_weight": [1, 100], "config_hash": "ff", "peak_events_1m": [np.nan, 7],
    })  # fmt: skip
    assert rows["score"].to_pylist() == [None, 1.5]
    assert rows["peak_events_1m"].to_pylist() == [None, 7.0]
    assert {"events_1m", "peak_distinct_targets_10m"} <= set(rows.schema.names)
    assert "behaviour" not in MEASURED
    assert str(rows.schema.field("end").type) == "timestamp[us, tz=UTC]"
    with pytest.raises(ValueError, match="not columns of a window: evens_1m"):
        table({"entity": [], "evens_1m": []})
    with pytest.raises(KeyError, match="tenant"):
        table({"entity": []})


def test_windows_on_a_full_disk_are_one_line(out: Path) -> None:
    part = part_of(WindowSink(str(out), True, pa.concat_tables), None)
    part.write_batch([[windows(0, 10)]])
    with file_size_limit(100), pytest.raises(OutputError, match="the quota or the greatest file size"):
        part.snapshot()
    assert not list((out / PARTS).glob("windows-*"))
