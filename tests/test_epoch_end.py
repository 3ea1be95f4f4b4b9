"""Where an epoch ends that several processes end together, a worker that has nothing to do waits."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.connectors.board import Board
from flows.steps import carry
from flows.steps.carry import Carry, Place
from tests.test_files_source import lines, source


class Clock:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(carry, "time", found)
    return found


def test_turns_with_nothing_to_do_wait_while_an_epoch_ends(clock: Clock) -> None:
    board = Board(0)
    logic = Carry(Place(0, 2, board), {})
    for _ in range(3):
        assert logic.on_notify() == ([], False)
    assert clock.slept == []
    board.pulse.ending = True
    for _ in range(3):
        logic.on_notify()
    assert len(clock.slept) == 3
    clock.now += 0.05  # the worker had something to do
    logic.on_notify()
    assert len(clock.slept) == 3
    logic.on_notify()
    assert len(clock.slept) == 4
    board.pulse.ending = False
    logic.on_notify()
    assert len(clock.slept) == 4


def test_turns_are_looked_at_each_while_an_epoch_ends_and_now_and_then_else() -> None:
    board = Board(0)
    logic = Carry(Place(0, 2, board), {})
    assert timedelta() < logic.notify_at() - datetime.now(UTC) < timedelta(seconds=1)
    board.pulse.ending = True
    assert logic.notify_at() <= datetime.now(UTC)
    assert logic.snapshot() == []


def test_an_epoch_ends_from_a_snapshot_to_the_next_poll(tmp_path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(range(10_000)))
    every = source(path, alone=False, batch_rows=100)
    part, pulse = every.build_part("source", "a.ndjson", None), every.board.pulse
    seen = []
    for step in (part.next_batch, part.next_batch, part.snapshot, part.next_batch, part.snapshot):
        step()
        seen.append(pulse.ending)
    assert seen == [False, False, True, False, True]
    part.close()
