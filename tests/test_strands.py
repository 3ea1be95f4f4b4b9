"""Strands: shards beside each other, each in its own order."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from bytewax.errors import BytewaxRuntimeError

from flows import detect
from flows.config import load
from flows.steps.assess import Assess, Assessing, Saving
from flows.steps.strands import Strands
from models.base import IP
from models.rules.program import Program
from models.windows import shard
from models.windows.slice import Slice
from tests.batches import marked, partition_batches, piece, row
from tests.command import simulate
from tests.test_bounds import SETUP
from tests.test_definitions import shard_of


def test_a_strand_does_its_jobs_in_their_order_beside_other_strands() -> None:
    seen: list[str] = []
    both = threading.Barrier(2, timeout=30)

    def job(name: str, beside: bool = False) -> str:
        if beside:
            both.wait()
        seen.append(name)
        return name.upper()

    with ThreadPoolExecutor(4) as threads:
        strands = Strands(threads)
        one, other = strands.strand(), strands.strand()
        added = [
            strand.add(partial(job, f"{name}{at}", beside=not at))
            for at in range(20)
            for name, strand in (("a", one), ("b", other))
        ]
        assert [each.result(30) for each in added] == [f"{name}{at}" for at in range(20) for name in "AB"]
    for name in "ab":
        assert [each for each in seen if each[0] == name] == [f"{name}{at}" for at in range(20)]


def test_what_has_done_least_comes_first() -> None:
    seen: list[str] = []
    go = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        strands = Strands(thread)
        strands.strand().add(go.wait)
        for name in "abc":  # as the engine gives slices: all batches of one shard, then those of the next
            strand = strands.strand()
            for at in range(3):
                strand.add(partial(seen.append, f"{at}{name}"))
        go.set()
    assert seen == [f"{at}{name}" for at in range(3) for name in "abc"]


def test_without_threads_a_job_is_done_on_the_spot() -> None:
    seen: list[str] = []
    strand = Strands().strand()
    strand.add(lambda: seen.append(threading.current_thread().name))
    assert seen == [threading.current_thread().name]


@pytest.mark.parametrize("beside", [False, True])
def test_an_error_is_raised_whenever_the_result_is_asked_for_and_the_strand_goes_on(beside: bool) -> None:
    with ThreadPoolExecutor(1) as threads:
        strand = Strands(threads if beside else None).strand()
        broken, whole = strand.add(lambda: 1 // 0), strand.add(lambda: 1)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                broken.result(30)
        assert whole.result(30) == 1


def minutes(program: Program) -> list[Slice]:
    """Slices of one address in ten minutes: some end a minute, some several, some none."""
    rows = [row(at * 7_000_000, ip="203.0.113.7", user="sam") for at in range(90)]
    return [piece(marked(each, program), IP) for each in partition_batches("p", ("p",), rows, 5_000_000, (1, 3, 20, 2))]


def assessed(thread: ThreadPoolExecutor | None, saving: Saving | None = None) -> tuple[list[Assessing], Assess]:
    """All slices under way, and the logic that has them."""
    logic = Assess(lambda at, state: shard_of("ip", SETUP, state=state), saving, None, Strands(thread))
    slices = minutes(shard_of("ip", SETUP).settings.program)
    return [one for each in slices for _, one in logic.on_batch([each])[0]], logic


def test_a_shard_says_the_same_on_threads_and_its_snapshot_waits_for_them() -> None:
    with ThreadPoolExecutor(2, "beside") as thread:
        found = []
        for beside in (None, thread):
            under_way, logic = assessed(beside, Saving(thread))
            snapshot = logic.snapshot()
            assert all(one.scores.done() for one in under_way)
            found.append(([said(one) for one in under_way], snapshot))
    assert found[0] == found[1]
    assert sum(len(windows) for _, windows, _ in found[0][0]) > 5


def test_another_process_gets_the_scores() -> None:
    with ThreadPoolExecutor(1, "beside") as thread:
        under_way, _ = assessed(thread)
        sent = [pickle.loads(pickle.dumps(one)) for one in under_way]
        assert not any(isinstance(one, Assessing) for one in sent)
        assert [one.number for one in sent] == [one.number for one in under_way]
        assert [said(one) for one in sent] == [said(one) for one in under_way]


def test_an_error_beside_the_flow_stops_it_with_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = simulate(tmp_path / "events.ndjson", 5_000, 3)
    times = 0

    def failing(*_: object) -> None:
        nonlocal times
        times += 1
        raise ZeroDivisionError("of a kernel")

    monkeypatch.setattr(detect, "rehearse", lambda _: monkeypatch.setattr(shard, "learn_minute", failing))
    with pytest.raises(BytewaxRuntimeError) as caught:
        detect.run(load(None), str(events), str(tmp_path / "out"), None, False, "lapwing", threading.Event())
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, ZeroDivisionError):
        error = error.__cause__
    assert times
    assert str(error) == "of a kernel"


def said(one: Assessing) -> tuple[int, list[tuple[int, list[str], list[float]]], bytes]:
    """What is said of a slice, to be compared."""
    scores = one.result()
    windows = [(each.end, [*each.entity], np.nan_to_num(each.score, nan=-1.0).tolist()) for each in scores.windows]
    return scores.passed, windows, scores.head.tobytes()
