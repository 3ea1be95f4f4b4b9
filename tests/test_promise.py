"""The promise of the design through the real flow: results do not hang on how the stream was read."""

import shutil
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bytewax.inputs import StatefulSourcePartition
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows import detect
from flows.config import Config, load
from flows.connectors.files import FileSource
from flows.connectors.polled import PolledPartition
from flows.connectors.read_ahead import ReadAhead
from models.alert import CLOSE, CREATE
from tests.flow_under_test import (
    KINDS,
    START,
    STRAY,
    Disturbance,
    Disturbed,
    Results,
    config_file,
    results,
    run,
    same,
    shuffled,
    stream,
    write,
)

ROOT = Path(tempfile.mkdtemp(prefix="promise-"))


@pytest.fixture(scope="module", autouse=True)
def _folder() -> Any:
    yield
    shutil.rmtree(ROOT)


@cache
def config() -> Config:
    return load(str(config_file(ROOT)))


@cache
def given_stream(seed: int, order: int | None = None) -> Path:
    lines = stream(seed)
    return write(ROOT / f"in-{seed}-{order}", lines if order is None else shuffled(lines, order))


@cache
def expected(seed: int) -> Results:
    """One run, one worker, large batches, no state."""
    return once(seed, None, batch_rows=4096)


def once(seed: int, order: int | None, **settings: Any) -> Results:
    output = Path(tempfile.mkdtemp(dir=ROOT))
    totals = run(config(), given_stream(seed, order), output, **settings)
    assert_nothing_overtaken(totals)
    return results(output)


def assert_nothing_overtaken(totals: Any) -> None:
    for counter in ("overtaken", "overflowed", "evicted"):
        assert totals.sum(counter) == 0, f"{counter}: the promise does not speak of this stream"


def test_the_stream_puts_everything_to_the_test() -> None:
    found = expected(1)
    assert {alert["metadata"]["event_code"] for alert in found.contents.values()} == set(KINDS)
    for life in found.lives.values():
        assert [seq for seq, _ in life] == list(range(len(life)))
        assert (life[0][1], life[-1][1]) == (CREATE, CLOSE)
    assert any(len(life) > 2 for life in found.lives.values())
    spoken = [a for a in found.contents.values() if not a["metadata"]["event_code"].startswith("source_silence")]
    assert all(alert["evidences"] for alert in spoken)
    assert all(alert["count"] > 0 for alert in spoken)
    assert Counter(row[1] for row in found.windows).keys() == {"tenant", "ip", "endpoint", "user"}
    assert sum(row[7] != "None" for row in found.windows) > 300, "known quantiles"
    assert sum(row[8] == "True" for row in found.windows) > 10, "guarded windows"
    learned = [row for row in found.windows if row[3] == "behaviour"]
    assert {row[1] for row in learned} == {"ip", "endpoint", "user"}
    assert sum(row[7] != "None" for row in learned) > 100, "known quantiles of behaviour"
    assert sum(row[8] == "True" for row in learned) > 5, "guarded behaviour"
    assert len(found.scored) + found.dead == sum(map(len, stream(1).values()))
    assert found.dead == 4 + STRAY


# Two sizes that no luck may leave out; batches of one row take some seconds.
@example(seed=1, order=None, batch_rows=1, workers=1, lazy=0.0, haste=1)
@example(seed=1, order=2, batch_rows=7, workers=2, lazy=0.5, haste=2)
@settings(max_examples=2)
@given(
    seed=st.integers(1, 3),
    order=st.one_of(st.none(), st.integers(1, 3)),
    batch_rows=st.sampled_from([5, 17, 100, 4096]),
    workers=st.integers(1, 2),
    lazy=st.sampled_from([0.0, 0.5, 0.9]),
    haste=st.integers(0, 1000),
)
def test_batches_workers_order_and_interleaving_change_nothing(
    seed: int, order: int | None, batch_rows: int, workers: int, lazy: float, haste: int
) -> None:
    disturbance = Disturbance(lazy=lazy, seed=haste)
    found = once(seed, order, batch_rows=batch_rows, workers=workers, disturbance=disturbance)
    same(found, expected(seed))


@example(seed=1, cuts=[1, 2, 3, 60], batch_rows=17, epoch=0.0, last_workers=1)
@example(seed=2, cuts=[45, 8], batch_rows=40, epoch=0.03, last_workers=2)
@settings(max_examples=1)
@given(
    seed=st.integers(1, 3),
    cuts=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    batch_rows=st.sampled_from([13, 40]),
    epoch=st.sampled_from([0.0, 0.03]),
    last_workers=st.integers(1, 2),
)
def test_abort_and_resume_anywhere(
    seed: int, cuts: list[int], batch_rows: int, epoch: float, last_workers: int
) -> None:
    folder = Path(tempfile.mkdtemp(dir=ROOT))
    output, state = folder / "out", folder / "state"
    for number, cut in enumerate(cuts):
        disturbance = Disturbance(abort_at=cut, lazy=0.3, seed=number)
        totals = run(
            config(), given_stream(seed, None), output,
            batch_rows=batch_rows, state=state, epoch=epoch, disturbance=disturbance,
        )  # fmt: skip
        assert_nothing_overtaken(totals)
    totals = run(
        config(), given_stream(seed, None), output, batch_rows=batch_rows, state=state, epoch=0.03, workers=last_workers
    )
    assert_nothing_overtaken(totals)
    same(results(output), expected(seed))


def test_runs_that_stop_in_between_are_one_run() -> None:
    """Stopped twice as SIGTERM does, ended once without closing, and only then closed."""
    output, state = ROOT / "stopped", ROOT / "stopped-state"
    for stop_at in (25, 40, None):
        run(
            config(), given_stream(1, None), output, batch_rows=31, state=state, close=False, epoch=0.03,
            disturbance=Disturbance(stop_at=stop_at),
        )  # fmt: skip
    ended = results(output)
    assert any(life[-1][1] != CLOSE for life in ended.lives.values()), "what is open stays open"
    run(config(), given_stream(1, None), output, state=state, close=True)
    same(results(output), expected(1))


class _Pausing(Disturbance):
    """The `paused` partition goes idle by the clock in its gap; `dense`, and so all, wait in it for its next row."""

    def __init__(self, source: FileSource, lines: list[tuple[float, bytes]]) -> None:
        super().__init__()
        self.source = source
        self.last = max(at for at, _ in lines if at < 300)
        self.idle_beats = 0

    def call(self, part: StatefulSourcePartition[Any, Any], first: bool) -> Any:
        assert isinstance(part, PolledPartition)
        name, pending = part._partition.source, part._partition.pending
        if name == "paused" and self._has(name, self.last - 0.001) and not pending and not self._has("dense", 400):
            assert isinstance(part._reader, ReadAhead)
            part._reader._given = part._reader._given._replace(silent=True)
            part._heard = part._spoken = 0.0
            part._caught_up = time.monotonic()
            items = part._nothing()
            self.idle_beats += sum(item.idle for item in items)
            return items
        if name == "dense" and self._has(name, 400) and not self._back():
            return []
        return super().call(part, first)

    def _back(self) -> bool:
        return self._has("paused", 900) or self.source._built["paused"][0].pending

    def _has(self, name: str, second: float) -> bool:
        return self.source._built[name][0].reached.greatest > (START + second) * 1e6


def test_a_partition_that_falls_idle_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[_Pausing] = []
    make_source = detect.make_source

    def pausing(*args: Any, **kwargs: Any) -> Any:
        source = make_source(*args, **kwargs)
        assert isinstance(source, FileSource)
        made.append(_Pausing(source, stream(1)["paused"]))
        return Disturbed(source, made[0])

    monkeypatch.setattr(detect, "make_source", pausing)
    found = once(1, None, batch_rows=1)
    assert made[0].idle_beats > 0, "it was never idle"
    same(found, expected(1))
