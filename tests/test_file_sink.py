"""Result files: whole lines, each exactly once, whatever crashes."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, run_main
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.commands.engine import mistake
from flows.connectors.file_sink import FileSink
from flows.connectors.output_directory import ALERTS, PARTS, SCORED, WINDOWS, existing_results, open_directory
from flows.connectors.staged_lines import finish
from flows.connectors.stdout_sink import StdoutSink
from flows.connectors.window_sink import WindowSink, merge_windows
from flows.errors import OutputError
from tests.prepared import started
from tests.sinks import EPOCHS, Item, file_size_limit, lines, part_of, windows


@pytest.fixture
def out() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "out"


def written(out: Path, first: int, end: int) -> None:
    """A run without state."""
    part = part_of(FileSink(str(out), SCORED, False), None)
    part.write_batch([lines(first, end)])
    part.snapshot()
    part.close()


def test_a_replaced_result_keeps_its_permissions_and_its_reader(out: Path) -> None:
    written(out, 0, 50)
    (out / SCORED).chmod(0o600)
    with (out / SCORED).open("rb") as reading:
        written(out, 50, 60)
        assert reading.read() == bytes(lines(0, 50).payload)
    assert (out / SCORED).read_bytes() == bytes(lines(50, 60).payload)
    assert (out / SCORED).stat().st_mode & 0o777 == 0o600


def test_a_result_that_is_a_link_stays_one(out: Path, tmp_path: Path) -> None:
    out.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"old")
    (out / SCORED).symlink_to(tmp_path / "elsewhere")
    written(out, 0, 9)
    assert (out / SCORED).is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == bytes(lines(0, 9).payload)


@settings(max_examples=60, deadline=None)
@given(EPOCHS, st.booleans())
def test_each_line_is_public_once_and_never_taken_back(
    epochs: list[tuple[list[int], str, float]], closed: bool
) -> None:
    """Bytewax's rules: a state of an epoch counts once durable; later epochs write only then; the rest comes again."""
    everything = lines(0, 200).payload
    directory = tempfile.mkdtemp()
    try:
        public = Path(directory) / SCORED
        sink = FileSink(directory, SCORED, staged=True)
        part, state, position, seen = part_of(sink, None), None, 0, 0
        whole = b"".join(bytes(lines(i, i + 1).payload) for i in range(200))
        assert bytes(everything) == whole

        def look() -> None:
            nonlocal seen
            text = public.read_bytes()
            assert whole.startswith(text)
            assert len(text) >= seen
            assert len(list((Path(directory) / PARTS).glob("*.stage"))) <= 2
            seen = len(text)

        for batches, crash, share in epochs:
            at, crashed = position, False
            for i, count in enumerate(batches):
                part.write_batch([lines(at, at + count), Item(b"")])
                at += count
                if crash == "torn" and i == 0:  # died while the epoch before was being published
                    seen += int(share * (public.stat().st_size - seen))
                    os.truncate(public, seen)
                    crashed = True
                    break
                look()
            if not crashed:
                crashed = crash.startswith("open")
            if not crashed and batches:
                new = part.snapshot()
                crashed = crash.startswith("sealed")
                if not crashed:
                    state, position = new, at
            if crashed or crash.startswith("durable"):
                if crash.endswith("closed"):
                    part.close()
                    look()
                part = part_of(sink, state)
                if crash != "torn":
                    look()
                seen = public.stat().st_size
                assert whole.startswith(public.read_bytes())
        if closed:
            part.close()
        finish(directory)
        look()
        assert public.read_bytes() == whole[: len(b"".join(bytes(lines(i, i + 1).payload) for i in range(position)))]
        assert not list((Path(directory) / PARTS).glob("*.stage"))
        part_of(sink, state).close()  # what `finish` did, a start with the state finds done
        finish(directory)
        look()
    finally:
        shutil.rmtree(directory)


def test_without_state_lines_appear_at_once_and_replace_the_old(out: Path) -> None:
    sink = FileSink(str(out), ALERTS, staged=False)
    for _ in range(2):
        part = part_of(sink, None)
        part.write_batch([lines(0, 3), Item(b""), lines(3, 5)])
        assert part.snapshot() is None
        assert (out / ALERTS).read_bytes() == bytes(lines(0, 5).payload)
        part.close()
    assert existing_results(str(out)) == [ALERTS]


def test_a_moved_file_begins_anew_and_a_foreign_directory_is_named(out: Path) -> None:
    sink = FileSink(str(out), SCORED, staged=True)
    part = part_of(sink, None)
    part.write_batch([lines(0, 5)])
    state = part.snapshot()
    with pytest.raises(OutputError, match="not the output directory of this state"):
        part_of(FileSink(str(out.parent / "other"), SCORED, staged=True), state)
    part.close()
    finish(str(out))
    (out / SCORED).rename(out.parent / "moved")
    for first, end in ((5, 8), (8, 9)):
        part = part_of(sink, state)
        part.write_batch([lines(first, end)])
        state = part.snapshot()
        part.close()
    finish(str(out))
    assert (out.parent / "moved").read_bytes() == bytes(lines(0, 5).payload)
    assert (out / SCORED).read_bytes() == bytes(lines(5, 9).payload)
    os.truncate(out / SCORED, 3)
    with pytest.raises(OutputError, match="shorter than when the last run ended"):
        part_of(sink, state)


def written_to_the_end(part: Any, items: list[Item]) -> None:
    part.write_batch(items)
    part.snapshot()


def told_by_a_heartbeat(part: Any, items: list[Item]) -> None:
    part.write_batch(items)
    while True:  # they are written behind the flow's back
        part.write_batch([Item(b"")])


def test_a_file_that_cannot_grow_ends_with_a_whole_line(out: Path) -> None:
    part = part_of(FileSink(str(out), SCORED, staged=False), None)
    part.write_batch([lines(0, 100)])
    part.snapshot()
    with file_size_limit(800), pytest.raises(OutputError, match=r"scored\.ndjson: the quota or the greatest file size"):
        written_to_the_end(part, [lines(100, 200), lines(200, 201)])
    text = (out / SCORED).read_bytes()
    assert text.endswith(b"\n")
    assert 700 < len(text) <= 800
    assert bytes(lines(0, 200).payload).startswith(text)
    part.close()


def test_a_full_disk_is_one_line(out: Path) -> None:
    out.mkdir()
    (out / ALERTS).symlink_to("/dev/full")
    part = part_of(FileSink(str(out), ALERTS, staged=False), None)
    with pytest.raises(OutputError, match=r"^[^\n]*alerts\.ndjson: no space is left on the device[^\n]*$"):
        told_by_a_heartbeat(part, [lines(0, 1)])
    part.close()


def test_a_disk_that_fills_up_while_publishing_loses_nothing(out: Path) -> None:
    sink = FileSink(str(out), SCORED, staged=True)
    part = part_of(sink, None)
    part.write_batch([lines(0, 100)])
    part.snapshot()
    part.write_batch([lines(100, 150)])
    state = part.snapshot()
    before = (out / SCORED).read_bytes()
    with file_size_limit(len(before) + 10), pytest.raises(OutputError, match=r"scored\.ndjson: the quota"):
        part.write_batch([lines(150, 160)])
    assert (out / SCORED).read_bytes() == before
    part.close()
    part = part_of(sink, state)
    part.write_batch([lines(150, 160)])
    part.snapshot()
    part.close()
    finish(str(out))
    assert (out / SCORED).read_bytes() == bytes(lines(0, 160).payload)


def test_an_output_that_is_no_directory_or_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="not a directory"):
        open_directory(str(tmp_path / "file"))
    with pytest.raises(OutputError, match="proc"):
        open_directory("/proc/lapwing")


def test_standard_output_whose_reader_has_gone() -> None:
    reader, writer = os.pipe()
    part = part_of(StdoutSink(writer), None)
    part.write_batch([lines(0, 3), Item(b"")])
    assert os.read(reader, 1000) == bytes(lines(0, 3).payload)
    assert part.snapshot() is None
    os.close(reader)
    with pytest.raises(OutputError, match="the reader has gone"):
        part.write_batch([lines(3, 4)])
    os.close(writer)


class Numbers(FixedPartitionedSource[int, int]):
    """Counts up, and aborts once at each of the given numbers (TestingSource loses its place at a second ABORT)."""

    def __init__(self, end: int, aborts: set[int]) -> None:
        self.end, self.aborts = end, aborts

    def list_parts(self) -> list[str]:
        return ["numbers"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "Counting":
        return Counting(self, resume_state or 0)


class Counting(StatefulSourcePartition[int, int]):
    def __init__(self, numbers: Numbers, at: int) -> None:
        self.numbers, self.at = numbers, at

    def next_batch(self) -> list[int]:
        if self.at in self.numbers.aborts:
            self.numbers.aborts.remove(self.at)
            raise AbortExecution
        if self.at == self.numbers.end:
            raise StopIteration
        self.at += 1
        return [self.at - 1]

    def snapshot(self) -> int:
        return self.at


def numbers_flow(source: Numbers, out: Path) -> Dataflow:
    flow = Dataflow("numbers")
    stream = op.input("source", flow, source)
    texts = op.map("lines", stream, lambda i: ("k", lines(i, i + 1)))
    op.output("scored", texts, FileSink(str(out), SCORED, staged=True))
    rows = op.map("windows", stream, lambda i: ("k", [windows(i, i + 1)]))
    op.output("table", rows, WindowSink(str(out), True, pa.concat_tables))
    return flow


@pytest.mark.parametrize("epoch", [timedelta(0), timedelta(seconds=100)])
def test_in_bytewax_over_aborts(out: Path, tmp_path: Path, epoch: timedelta) -> None:
    init_db_dir(tmp_path, 1)  # type: ignore[no-untyped-call]
    recovery = RecoveryConfig(str(tmp_path))  # type: ignore[no-untyped-call]
    source, seen = Numbers(40, {0, 3, 4, 7, 20, 39, 40}), b""
    while source.aborts:
        run_main(numbers_flow(source, out), epoch_interval=epoch, recovery_config=recovery)  # type: ignore[no-untyped-call]
        text = (out / SCORED).read_bytes() if (out / SCORED).exists() else b""
        assert bytes(lines(0, 40).payload).startswith(text)
        assert text.startswith(seen)
        seen = text
    run_main(numbers_flow(source, out), epoch_interval=epoch, recovery_config=recovery)  # type: ignore[no-untyped-call]
    finish(str(out))
    merge_windows(str(out))
    assert (out / SCORED).read_bytes() == bytes(lines(0, 40).payload)
    assert pq.read_table(out / WINDOWS)["start"].cast("int64").to_pylist() == list(range(40))


@pytest.mark.parametrize("workers", [1, 2])
def test_in_bytewax_over_kills(out: Path, tmp_path: Path, workers: int) -> None:
    command = [sys.executable, "-m", "tests.killed_flow", str(tmp_path / "state"), str(out), "10000", str(workers)]
    seen = b""
    for seconds in (0.1, 0.3, None):
        with started(command, stdout=subprocess.PIPE) as run:
            assert run.stdout is not None
            run.stdout.readline()  # it is about to start
            try:
                assert run.wait(seconds) == 0
            except subprocess.TimeoutExpired:
                run.kill()
        text = (out / SCORED).read_bytes() if (out / SCORED).exists() else b""
        assert text.startswith(seen)
        seen = text
    for source in (b"a", b"b"):
        mine = [line for line in seen.splitlines() if line.startswith(source)]
        assert mine == [b"%s:%d" % (source, i) for i in range(10000)]


def test_in_bytewax_an_output_error_keeps_its_one_line(out: Path) -> None:
    out.mkdir()
    (out / SCORED).symlink_to("/dev/full")
    flow = Dataflow("full")
    stream = op.input("source", flow, TestingSource([0, 1]))
    op.output("scored", op.map("lines", stream, lambda i: ("k", lines(i, i + 1))), FileSink(str(out), SCORED, False))
    with pytest.raises((OutputError, BytewaxRuntimeError)) as raised:  # at a write, or at the snapshot of the end
        run_main(flow)  # type: ignore[no-untyped-call]
    assert re.search(r"scored\.ndjson: no space is left", str(mistake(raised.value)))
