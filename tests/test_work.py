"""Work that pauses: the same steps in the same order, whoever goes on with them."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from bytewax.errors import BytewaxRuntimeError

from flows import detect
from flows.config import load
from flows.steps.assess import Assess, Assessing, Saving
from models.base import IP
from models.rules.program import Program
from models.windows import shard
from models.windows.slice import Slice
from models.windows.work import Steps, Work
from tests.batches import marked, partition_batches, piece, row
from tests.command import simulate
from tests.test_bounds import SETUP
from tests.test_definitions import shard_of


def told(seen: list[str], names: str, wait: threading.Event | None = None) -> Steps[str]:
    """Steps that say what is done, and on which thread."""

    def job(name: str) -> str:
        if wait is not None and name == names[0]:
            assert wait.wait(30)
        seen.append(f"job {name} {threading.current_thread().name.partition('_')[0]}")
        return name.upper()

    said = ""
    for name in names:
        said += yield lambda name=name: job(name)
        seen.append(f"after {name}")
    return said


def test_only_the_first_job_is_done_elsewhere() -> None:
    seen: list[str] = []
    with ThreadPoolExecutor(1, "beside") as thread:
        work = Work(told(seen, "ab"), thread)
        assert work.result() == "AB"
    assert seen == ["job a beside", "after a", "job b MainThread", "after b"]


def test_who_has_several_in_hand_lets_their_next_jobs_be_done_elsewhere_too() -> None:
    seen: list[str] = []
    with ThreadPoolExecutor(1, "beside") as thread:
        works = [Work(told(seen, names), thread) for names in ("abc", "x", "")]
        for work in works:
            work.go_on()
        assert [work.result() for work in works] == ["ABC", "X", ""]
        for work in works:
            work.go_on()
        assert [work.result() for work in works] == ["ABC", "X", ""]
    assert [line for line in seen if "a" in line.split()[1]] == ["job a beside", "after a"]
    assert [line for line in seen if line.startswith("job")][2:] == ["job b beside", "job c MainThread"]


def test_without_a_thread_all_is_done_at_once() -> None:
    seen: list[str] = []
    work = Work(told(seen, "ab"))
    assert seen == ["job a MainThread", "after a", "job b MainThread", "after b"]
    assert work.result() == work.result() == "AB"


def test_steps_without_a_job_have_ended_before_they_are_asked() -> None:
    with ThreadPoolExecutor(1) as thread:
        assert Work(told([], ""), thread).result() == ""


def test_who_asks_first_goes_on_and_the_others_wait() -> None:
    seen: list[str] = []
    go = threading.Event()
    with ThreadPoolExecutor(1, "beside") as thread, ThreadPoolExecutor(4) as asking:
        work = Work(told(seen, "abc", go), thread)
        asked = [asking.submit(work.result) for _ in range(4)]
        go.set()
        assert [one.result() for one in asked] == ["ABC"] * 4
    assert [line for line in seen if line.startswith("after")] == ["after a", "after b", "after c"]


@pytest.mark.parametrize("beside", [False, True])
def test_an_error_is_raised_whenever_the_result_is_asked_for(beside: bool) -> None:
    def failing() -> Steps[int]:
        yield lambda: 1 // 0
        raise AssertionError("never reached")

    with ThreadPoolExecutor(1) as thread:
        if not beside:
            with pytest.raises(ZeroDivisionError):
                Work(failing())
            return
        work = Work(failing(), thread)
        with pytest.raises(ZeroDivisionError):
            work.go_on()
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                work.result()


def minutes(program: Program) -> list[Slice]:
    """Slices of one address in ten minutes: some end a minute, some several, some none."""
    rows = [row(at * 7_000_000, ip="203.0.113.7", user="sam") for at in range(90)]
    return [piece(marked(each, program), IP) for each in partition_batches("p", ("p",), rows, 5_000_000, (1, 3, 20, 2))]


def assessed(thread: ThreadPoolExecutor | None, saving: Saving | None = None) -> tuple[list[Assessing], Assess]:
    """All slices under way, and the logic that has them."""
    logic = Assess(lambda at, state: shard_of("ip", SETUP, state=state), saving, None, thread)
    slices = minutes(shard_of("ip", SETUP).settings.program)
    return [one for each in slices for _, one in logic.on_batch([each])[0]], logic


@pytest.mark.parametrize("many", [1, shard.MANY_ROWS])
def test_a_shard_says_the_same_with_a_thread_and_its_snapshot_waits_for_it(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, counting = shard._ARRIVE, set()

    def counted(*arguments: object) -> object:
        counting.add(threading.current_thread().name.partition("_")[0])
        return count(*arguments)

    monkeypatch.setattr(shard, "MANY_ROWS", many)
    monkeypatch.setattr(shard, "_ARRIVE", counted)
    with ThreadPoolExecutor(2, "beside") as thread:
        found = []
        for beside in (None, thread):
            under_way, logic = assessed(beside, Saving(thread))
            snapshot = logic.snapshot()
            found.append(([said(one) for one in under_way], snapshot))
    assert found[0] == found[1]
    assert counting == ({"MainThread", "beside"} if many == 1 else {"MainThread"})
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
