"""Files, directories and pipes as a source: every line once, in order, from any snapshot on."""

import gzip
import hashlib
import os
import pickle
import random
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, cluster_main, run_main
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.connectors.board import Board
from flows.connectors.file_reader import SEQUENCE_SHIFT
from flows.connectors.files import ClockParams, FileSource, check_input
from flows.connectors.lines import LineReader
from flows.connectors.polled import TURN, PolledPartition
from flows.connectors.streams import Pipe
from flows.connectors.synthetic import SyntheticSource
from flows.errors import InputError
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from models.base import END_OF_TIME, JUMPED, NONE_TIME
from tests.plain_decode import SECOND, plain_decode

START = 1_700_000_000


def lines(times, end=b"\n"):
    return b"".join(b'{"t":%d}' % (START + t) + end for t in times)


def source(path, stop=None, close=True, **options):
    return FileSource(str(path), plain_decode, ClockParams(), stop or threading.Event(), close, **options)


def drain(src, states=None, keep=None):
    """Play all partitions in turn to their end; `keep` collects (items so far, snapshots) after every item."""
    parts = {name: src.build_part("source", name, (states or {}).get(name)) for name in src.partitions}
    items = []
    alive = dict(parts)
    deadline = time.monotonic() + 20
    while alive:
        assert time.monotonic() < deadline, "the partitions do not drain"
        for name, part in list(alive.items()):
            try:
                got = part.next_batch()
            except StopIteration:
                del alive[name]
                continue
            items += got
            if got and keep is not None:
                keep.append((len(items), {name: pickle.dumps(p.snapshot()) for name, p in parts.items()}))
    final = {name: part.snapshot() for name, part in parts.items()}
    for part in parts.values():
        part.close()
    return items, final


def events(items, name=None):
    """(offset, message, place, flags) of every row."""
    return [
        (int(b.offset[i]), b.message(i), int(b.place[i]), int(b.flags[i]))
        for b in items
        if name is None or b.source == name
        for i in range(len(b))
    ]


def messages(items, name=None):
    """offset -> message, rows and dead letters together; a double is an error."""
    found = {}
    for b in items:
        if name is not None and b.source != name:
            continue
        both = [(int(b.offset[i]), b.message(i)) for i in range(len(b))] + [(d.offset, d.body) for d in b.dead]
        for offset, body in both:
            assert b.first[0] < offset <= b.reached[0]
            assert offset not in found
            found[offset] = body
    return found


def cut(content):
    """The definition of a line."""
    pieces = content.split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    return [piece.removesuffix(b"\r") for piece in pieces]


class Trickle:
    """A stream that gives a few bytes at a time, or nothing for now."""

    path = "trickle"

    def __init__(self, content, seed):
        self._content, self._at, self._random = content, 0, random.Random(seed)
        self.taken = 0

    def readinto(self, view):
        if self._random.random() < 0.2:
            return -1
        count = min(len(view), len(self._content) - self._at, self._random.choice([1, 2, 3, 7, 50]))
        view[:count] = self._content[self._at : self._at + count]
        self._at += count
        return count

    def close(self):
        pass


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"xyz", b"12345678", b"\0", b"0123456789" * 3])),
    st.integers(1, 9), st.integers(0, 2**32), st.sampled_from([8, 16, 1000]), st.booleans(),
)  # fmt: skip
def test_lines_are_cut_as_defined(pieces, batch_rows, seed, limit, trickle):
    content = b"".join(pieces)
    stream = Trickle(content, seed)
    if not trickle:
        stream._random.random = lambda: 1.0
        stream._random.choice = max
    reader = LineReader("s", stream, 0, 0, 0, batch_rows, limit)
    got = {}
    marks = [(0, 0)]
    while not reader.ended:
        raw = reader.read()
        if raw is None:
            continue
        assert len(raw) <= batch_rows
        for row in range(len(raw)):
            got[int(raw.offset[row])] = raw.message(row)
        for letter in raw.oversize:
            assert (letter.reason, letter.stage) == ("too_large", "source")
            got[letter.offset] = letter
        marks.append((reader.line, reader.position))
    expected = cut(content)
    assert (list(got) and sorted(got) == list(range(len(expected)))) or not expected
    for number, line in enumerate(expected):
        if len(line) > limit:
            assert (got[number].size, got[number].sha256) == (len(line), hashlib.sha256(line).hexdigest())
            assert got[number].body == line
        else:
            assert got[number] == line
    for number, position in marks:
        if content[:position].endswith(b"\n") or not position:
            assert content[:position].count(b"\n") == number


@pytest.mark.parametrize("suffix", ["ndjson", "ndjson.gz", "ndjson.zst", "txt"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, suffix):
    content = b"\xef\xbb\xbf" + lines([1], b"\r\n") + lines(range(2, 5000)) + b"\n\r\nnonsense\n" + lines([5000], b"")
    path = tmp_path / f"a.{suffix}"
    if suffix.endswith("gz"):
        content_on_disk = gzip.compress(content[:40000]) + gzip.compress(content[40000:])
    elif suffix.endswith("zst"):
        squeeze = zstandard.ZstdCompressor().compress
        content_on_disk = squeeze(content[:40000]) + squeeze(content[40000:])
    else:
        content_on_disk = content
    path.write_bytes(content_on_disk)
    src = source(path)
    assert src.partitions == (path.name,)
    items, _ = drain(src)
    assert messages(items) == dict(enumerate(cut(content)))
    assert [d.reason for b in items for d in b.dead if d.offset > 0] == ["empty", "empty", "malformed_json"]
    assert [b.number for b in items] == list(range(len(items)))
    assert all(b.first == a.reached for a, b in pairwise(items))
    assert (src.rows, src.bytes_read, src.bytes_total) == (5003, len(content_on_disk), len(content_on_disk))
    assert src.event_time == (START + 5000) * SECOND


def test_first_item_is_a_heartbeat_and_the_last_closes_or_idles(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines([0, 1]))
    for close, watermark in ((True, END_OF_TIME), (False, (START - 4) * SECOND)):
        items, state = drain(source(path, close=close))
        assert (len(items[0]), items[0].watermark, items[0].idle, items[0].sources) == (
            0, NONE_TIME, False, ("a.ndjson",),
        )  # fmt: skip
        assert (len(items[-1]), items[-1].watermark, items[-1].idle) == (0, watermark, True)
        again, _ = drain(source(path, close=close), state)
        assert [len(b) for b in again] == [0, 0]
        assert again[0].watermark == (START - 4) * SECOND
        assert again[0].reached == (1, 0)


def test_batches_are_cut_by_span_and_rows_and_carry_their_watermarks(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines([*range(0, 100, 2), *[100] * 500]))
    items, _ = drain(source(path, batch_rows=64))
    for b in items:
        if len(b):
            assert len(b) <= 64
            assert int(b.place.max() - b.place.min()) <= 30 * SECOND
            assert b.watermark_before == int(b.time[0]) - 5 * SECOND
            assert b.watermark == int(b.time[-1]) - 5 * SECOND
    assert sum(map(len, items)) == 550


def hostile(rng, rows, begin=0):
    """Lines with gaps, jumps, late rows, garbage, empty and oversize ones."""
    out, now = [], begin
    for _ in range(rows):
        kind = rng.random()
        now += rng.choice([0, 0, 1, 2, 20])
        if kind < 0.03:
            now += 2000
        if kind > 0.9:
            out.append(rng.choice([b"\n", b"\r\n", b"nonsense\n", b"x" * 300 + b"\n"]))
        elif kind > 0.86:
            out += lines([now + rng.choice([5000, -5, -20, -3000])])
        else:
            out.append(lines([now], rng.choice([b"\n", b"\r\n"])))
    return b"".join(o if isinstance(o, bytes) else bytes([o]) for o in out)


def test_every_snapshot_resumes_to_the_same_rows(tmp_path):
    rng = random.Random(7)
    for name in ("a.ndjson", "b.ndjson", "sub/c.log.gz", "sub/d.jsonl", "sub/deep/e.ndjson.zst"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = hostile(rng, 60, rng.choice([0, 30, 600]))[: rng.choice([None, -1])]
        if name.endswith("gz"):
            content = gzip.compress(content)
        elif name.endswith("zst"):
            content = zstandard.ZstdCompressor().compress(content)
        path.write_bytes(content)
    options = {"batch_rows": 16, "max_message_bytes": 250}
    keep = []
    whole, _ = drain(source(tmp_path, **options), keep=keep)
    assert {b.source for b in whole} == {".", "sub", "sub/deep"}
    expected = {name: (events(whole, name), messages(whole, name)) for name in (".", "sub", "sub/deep")}
    flagged = [flags for rows, _ in expected.values() for *_, flags in rows]
    assert any(f & JUMPED for f in flagged)
    assert any(d.reason == "too_large" for b in whole for d in b.dead)
    for count, states in keep:
        rest, _ = drain(source(tmp_path, **options), {name: pickle.loads(s) for name, s in states.items()})
        for name, (rows, found) in expected.items():
            assert events(whole[:count], name) + events(rest, name) == rows
            assert messages(whole[:count], name) | messages(rest, name) == found
            assert len(messages(whole[:count], name)) + len(messages(rest, name)) == len(found)


def test_a_directory_is_read_by_first_event_time_and_remembers_its_order(tmp_path):
    (tmp_path / "b.ndjson").write_bytes(lines([0, 1]))
    (tmp_path / "c.ndjson").write_bytes(b"\n" + lines([5, 6]))
    (tmp_path / "a.ndjson").write_bytes(lines([20]))
    (tmp_path / "d.ndjson").write_bytes(lines([5]))
    (tmp_path / "empty.log").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"hello")
    (tmp_path / ".hidden").mkdir()
    ignored = []
    items, state = drain(source(tmp_path, on_ignored=ignored.append, close=False))
    assert ignored == [(".hidden/", "notes.txt")]
    assert [int(t) // SECOND - START for b in items for t in b.time] == [0, 1, 5, 6, 5, 20]
    assert [o for o, *_ in events(items)] == [
        (sequence << SEQUENCE_SHIFT) | line for sequence, line in ((0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (3, 0))
    ]
    # an earlier file grows, a later run finds new files: both come after all that was read
    with open(tmp_path / "b.ndjson", "ab") as file:
        file.write(lines([30]))
    (tmp_path / "aa.ndjson").write_bytes(lines([25]))
    (tmp_path / "d.ndjson").unlink()
    again, state = drain(source(tmp_path, close=False), state)
    assert [(o >> SEQUENCE_SHIFT, o & 0xFF, m) for o, m, *_ in events(again)] == [
        (5, 0, lines([25], b"")), (6, 2, lines([30], b"")),
    ]  # fmt: skip
    assert [len(b) for b in drain(source(tmp_path, close=False), state)[0]] == [0, 0]


@pytest.mark.parametrize(
    ("before", "after", "offsets"),
    [
        (lines([0, 1]), lines([2, 3]), [2, 3]),
        (lines([0, 1])[:-1], b"\n" + lines([2]), [2]),
        (lines([0, 1])[:-1], b"\r\n" + lines([2]), [2]),
        (lines([0, 1])[:-1] + b"\r", b"\n" + lines([2]), [2]),
        (lines([0, 1])[:-1], b" " + lines([2]), [2]),
        (lines([0, 1]), b"\n" + lines([2]), [2, 3]),
        (b"", lines([2]), [0]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_grew_goes_on(tmp_path, before, after, offsets, packed):
    path = tmp_path / ("a.log.gz" if packed else "a.log")
    path.write_bytes(gzip.compress(before) if packed else before)
    items, state = drain(source(path, close=False))
    assert sorted(messages(items)) == list(range(len(cut(before))))
    with open(path, "ab") as file:
        file.write(gzip.compress(after) if packed else after)
    again, state = drain(source(path, close=False), state)
    assert sorted(messages(again)) == offsets
    assert messages(again)[offsets[-1]].strip() == after.splitlines()[-1].strip()
    assert not messages(drain(source(path, close=False), state)[0])


def test_a_line_of_ten_megabytes_is_one_dead_letter(tmp_path):
    giant = b"y" * 10_000_000
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines([0]) + giant + b"\r\n" + lines([1]) + giant)
    items, _ = drain(source(path))
    letters = [d for b in items for d in b.dead]
    assert [(d.offset, d.size, d.reason, d.body) for d in letters] == [
        (offset, len(giant), "too_large", giant[: 64 * 1024]) for offset in (1, 3)
    ]
    assert {d.sha256 for d in letters} == {hashlib.sha256(giant).hexdigest()}
    assert [o for o, *_ in events(items)] == [0, 2]


def test_what_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"missing: no such file or directory$"):
        check_input(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="holds no file"):
        check_input(str(tmp_path))
    content = lines(range(3000))
    for name, bad in (
        ("cut.ndjson.gz", gzip.compress(content)[:-9]),
        ("plain.ndjson.gz", content),
        ("cut.ndjson.zst", zstandard.ZstdCompressor().compress(content)[:-9]),
    ):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(InputError, match=f"{name}: cannot be read: [^\n]*$"):
            drain(source(tmp_path / name))


def test_files_that_vanish_shrink_or_are_replaced(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(range(100)))
    src = source(path)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        drain(src)
    path.write_bytes(lines(range(100)))
    _, state = drain(source(path, close=False))
    path.write_bytes(lines(range(50)))
    with pytest.raises(InputError, match="not the file that was read before"):
        drain(source(path), state)
    path.write_bytes(lines(range(7, 300)))
    with pytest.raises(InputError, match="not the file that was read before"):
        drain(source(path), state)
    for name in ("b.ndjson.gz",):
        packed = tmp_path / name
        packed.write_bytes(gzip.compress(lines(range(100))))
        _, state = drain(source(packed, close=False))
        head = gzip.compress(lines(range(100)))
        packed.write_bytes(head[: len(head) // 2])
        with pytest.raises(InputError):
            drain(source(packed), state)


def test_a_partition_that_has_gone_stays_known(tmp_path):
    (tmp_path / "a.ndjson").write_bytes(lines([0]))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.ndjson").write_bytes(lines([1]))
    _, state = drain(source(tmp_path, close=False))
    (tmp_path / "sub" / "b.ndjson").unlink()
    src = source(tmp_path, close=False, known=(".", "sub"))
    assert src.partitions == (".", "sub")
    assert [len(b) for b in drain(src, state)[0]] == [0] * 4


def test_stop_ends_at_once_and_flushes_nothing(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(range(500)))
    stop = threading.Event()
    src = source(path, stop)
    part = src.build_part("source", "a.ndjson", None)
    first = part.next_batch() + part.next_batch()
    stop.set()
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()
    rest, _ = drain(source(path), {"a.ndjson": part.snapshot()})
    assert [len(b) for b in first] == [0] + [31] * TURN
    assert [o for o, *_ in events(first) + events(rest)] == list(range(500))


def test_what_is_at_hand_goes_together_and_is_gone_on_with_exactly(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(range(300)))
    src = source(path, batch_rows=10)
    part = src.build_part("source", "a.ndjson", None)
    seen, sizes, deadline = part.next_batch(), set(), time.monotonic() + 20
    while len(events(seen)) < 300:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # what is read ahead is ready then
        got = part.next_batch()
        sizes.add(len(got))
        seen += got
        rest, _ = drain(source(path, batch_rows=10), {"a.ndjson": part.snapshot()})
        assert [o for o, *_ in events(seen) + events(rest)] == list(range(300))
    part.close()
    assert max(sizes) == TURN
    alone, _ = drain(source(path, batch_rows=10, alone=False))
    assert [(b.number, b.reached) for b in alone][:31] == [(b.number, b.reached) for b in seen][:31]


def test_a_file_that_is_not_there_takes_nothing_that_was_read_before_it(tmp_path):
    for name, rows in (("a", range(40)), ("b", range(40, 80))):
        (tmp_path / f"{name}.ndjson").write_bytes(lines(rows))
    told = []
    src = source(tmp_path, batch_rows=10, on_failure=told.append)
    part = src.build_part("source", ".", None)
    items = part.next_batch() + part.next_batch()
    (tmp_path / "b.ndjson").unlink()

    def play():
        while True:
            time.sleep(0.01)
            items.extend(part.next_batch())

    with pytest.raises(StopIteration):
        play()
    part.close()
    (tmp_path / "b.ndjson").write_bytes(lines(range(40, 80)))
    rest, _ = drain(source(tmp_path, batch_rows=10), {".": part.snapshot()})
    assert len(told) == 1
    assert [m for _, m, *_ in events(items) + events(rest)] == [line.rstrip() for line in lines(range(80)).splitlines()]


def test_partitions_are_aligned(tmp_path):
    for name, step in (("fast", 1), ("slow", 7), ("late", 3)):
        (tmp_path / name).mkdir()
        begin = 900 if name == "late" else 0
        (tmp_path / name / "x.ndjson").write_bytes(lines(range(begin, 2000, step)))
    (tmp_path / "silent").mkdir()
    (tmp_path / "silent" / "x.ndjson").write_bytes(b"")
    items, _ = drain(source(tmp_path))
    reached, over = dict.fromkeys(("fast", "slow", "late"), 0), set()
    for b in items:
        if b.watermark == END_OF_TIME:
            over.add(b.source)
        if len(b):
            reached[b.source] = int(b.place[-1])
            active = [at for name, at in reached.items() if name not in over and at]
            assert reached[b.source] - min(active) <= (2 * 30 + 7) * SECOND
    assert sum(map(len, items)) == 2000 + 286 + 367


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=20), min_size=1, max_size=4),
    st.integers(0, 50), st.booleans(), st.integers(0, 2**32),
)  # fmt: skip
def test_the_board_never_deadlocks_and_keeps_the_skew(fronts, skew, in_order, seed):
    rng = random.Random(seed)
    names = [str(i) for i in range(len(fronts))]
    board = Board(skew, names)
    left = {name: sorted(f) if in_order else list(f) for name, f in zip(names, fronts, strict=True)}
    greatest = dict.fromkeys(names, NONE_TIME)
    for _ in range(10_000):
        if not left:
            break
        name = rng.choice(list(left))
        if not left[name]:
            board.leave(name)
            del left[name]
        elif board.may_return(name, left[name][0]):
            front = left[name].pop(0)
            assert not in_order or all(
                front <= (left[o][0] if left[o] else END_OF_TIME) + skew for o in left if o != name
            )
            greatest[name] = max(greatest[name], front)
            if rng.random() < 0.5:
                board.returned(name, greatest[name])
    assert not left


def test_standard_input_never_blocks_beats_and_falls_idle():
    there, here = os.pipe()
    clock = ClockParams(idle_after_s=0.3, heartbeat_s=0.05)
    src = FileSource("-", plain_decode, clock, threading.Event(), True)
    part = src.build_part("source", "-", None)
    began = time.monotonic()
    items = []

    def play(until):
        end = time.monotonic() + 10
        while not until() and time.monotonic() < end:
            called = time.monotonic()
            items.extend(part.next_batch())
            assert time.monotonic() - called < 5
            time.sleep(0.002)
        assert until()

    saved = os.dup(0)
    os.dup2(there, 0)
    try:
        play(lambda: items)
        os.write(here, lines([0, 1])[:-3])
        play(lambda: len(items) > 3)
        assert not events(items)
        os.write(here, lines([0, 1])[-3:])
        play(lambda: len(events(items)) == 2)
        play(lambda: items[-1].idle)
        assert items[-1].watermark == (START - 4) * SECOND
        os.write(here, lines([1]))
        play(lambda: len(events(items)) == 3)
        assert not items[-1].idle
        seen = len(items)

        def rubbish():
            os.write(here, b"rubbish\n")
            return any(item.idle and item.dead for item in items[seen:])

        play(rubbish)  # nobody waits for one that has nothing but that
        os.write(here, lines([2], b""))
        os.close(here)
        with pytest.raises(StopIteration):
            play(lambda: time.monotonic() - began > 20)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(there)
    assert [o for o, *_ in events(items)][:3] == [0, 1, 2]
    assert len(events(items)) == 4
    assert items[-1].watermark == END_OF_TIME
    assert src.bytes_total is None
    resumed = FileSource("-", plain_decode, clock, threading.Event(), True).build_part("source", "-", part.snapshot())
    assert resumed.next_batch()[0].reached == items[-1].reached > (3, 0)


def test_a_named_pipe_is_read_like_standard_input(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(lines(range(20_000))))
    writer.start()
    items, _ = drain(source(path))
    writer.join()
    assert [o for o, *_ in events(items)] == list(range(20_000))


def test_a_pipe_waits_for_its_first_writer(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    pipe = Pipe(str(tmp_path / "fifo"))
    assert pipe.readinto(memoryview(bytearray(10))) == -1
    pipe.close()


class Chunk:
    def __init__(self, begin, count):
        self.lines, self.count = lines(range(begin, begin + count)), count


def test_synthetic_traffic_resumes_by_skipping():
    def chunks():
        return (Chunk(begin, 70) for begin in range(0, 1000, 70))

    def build():
        return SyntheticSource(chunks, plain_decode, ClockParams(), threading.Event(), True, batch_rows=32)

    keep = []
    whole, _ = drain(build(), keep=keep)
    assert [o for o, *_ in events(whole)] == list(range(1050))
    for count, states in keep[::5]:
        rest, _ = drain(build(), {"synthetic": pickle.loads(states["synthetic"])})
        assert events(whole[:count]) + events(rest) == events(whole)


def flow_of(src, out):
    flow = Dataflow("sources")
    stream = op.input("source", flow, src)
    op.output("out", stream, TestingSink(out))
    return flow


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_through_bytewax(tmp_path, workers):
    for number, name in enumerate(("x.ndjson", "sub/y.ndjson", "sub/z.ndjson.gz")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        content = lines(range(number, 3000, 3))
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    out = []
    src = source(tmp_path, batch_rows=100)
    if workers:
        cluster_main(flow_of(src, out), [], 0, worker_count_per_proc=workers)
    else:
        run_main(flow_of(src, out))
    assert sorted(m for _, m, *_ in events(out)) == sorted(lines([t], b"") for t in range(3000))
    for name in src.partitions:
        assert [o for o, *_ in events(out, name)] == sorted(o for o, *_ in events(out, name))
        assert next(b for b in out if b.source == name).number == 0
        assert [b for b in out if b.source == name][-1].watermark == END_OF_TIME


def test_bytewax_resumes_where_a_stopped_run_was(tmp_path):
    path = tmp_path / "in.ndjson"
    path.write_bytes(lines(range(2000)))
    store = tmp_path / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    seen = []
    for limit in (3, 7, 1, 10_000):
        stop = threading.Event()
        out = []
        flow = Dataflow("sources")

        def watch(batch, stop=stop, limit=limit):
            if batch.number >= limit:
                stop.set()
            return batch

        stream = op.map("watch", op.input("source", flow, source(path, stop, close=False)), watch)
        op.output("out", stream, TestingSink(out))
        run_main(flow, epoch_interval=None, recovery_config=RecoveryConfig(str(store)))
        assert out[0].number == 0
        assert len(out[0]) == 0
        seen += events(out)
    assert [o for o, *_ in seen] == list(range(2000))


def test_a_failing_input_stops_the_flow_in_good_order(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.ndjson").write_bytes(lines(range(100_000)))
    (tmp_path / "bad.ndjson.gz").write_bytes(gzip.compress(lines(range(100)))[:-4])
    failures, out, stop = [], [], threading.Event()
    run_main(flow_of(source(tmp_path, stop, on_failure=failures.append), out))
    assert [str(failure) for failure in failures] == [
        f"{tmp_path}/bad.ndjson.gz: cannot be read: Truncated compressed stream"
    ]
    assert stop.is_set()
    assert not any(b.watermark == END_OF_TIME for b in out)


def test_polled_partition_naps_only_while_waiting(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(range(10)))
    part = source(path).build_part("source", "a.ndjson", None)
    assert isinstance(part, PolledPartition)
    part.next_batch()
    assert part.next_awake() is None


def test_columns_have_their_types(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(range(10)))
    items, _ = drain(source(path))
    heartbeat, full = items[0], next(b for b in items if len(b))
    for name in ("length", "note_length", "index", "name_length"):
        assert getattr(heartbeat, name).dtype == getattr(full, name).dtype == np.int32
    assert heartbeat.entity.shape == (4, 0)
    assert full.entity.shape == (4, 10)


def test_with_the_real_decoder_every_line_is_a_row_or_a_dead_letter(tmp_path):
    event = b'{"time":"2026-11-02T00:00:%02dZ","action":"login","outcome":"failure","user":"u","ip":"192.0.2.1"}\n'
    content = b"".join(event % second for second in range(60)) + b"\n{}\n\xff\n" + b"x" * 3000 + b"\n" + event % 59
    path = tmp_path / "a.ndjson"
    path.write_bytes(content)
    limits = Limits(max_message_bytes=2000)
    src = FileSource(
        str(path), lambda raw: decode(raw, limits), ClockParams(), threading.Event(), True, max_message_bytes=2000
    )
    items, _ = drain(src)
    assert [d.reason for b in items for d in b.dead] == ["empty", "missing_time", "bad_utf8", "too_large"]
    assert [o for o, *_ in events(items)] == [*range(60), 64]
    assert {b.name(3, 0) for b in items if len(b)} == {"u"}


def test_a_file_of_only_giants(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes((b"x" * 300_000 + b"\n") * 3)
    src = FileSource(
        str(path), lambda raw: decode(raw, Limits()), ClockParams(), threading.Event(), True, max_message_bytes=2000
    )
    items, _ = drain(src)
    assert [(d.offset, d.size) for b in items for d in b.dead] == [(0, 300_000), (1, 300_000), (2, 300_000)]
