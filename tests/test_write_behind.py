"""Writes behind the flow's back: in order, bounded, and none after one that failed."""

import threading
import time

import pytest

from flows.connectors.write_behind import WriteBehind


def test_writes_are_done_in_order_while_the_caller_goes_on() -> None:
    behind, gate, seen = WriteBehind(), threading.Event(), []
    behind.write(gate.wait)
    behind.write(lambda: seen.append("second"))
    assert not seen  # handed over, while the first still waits
    gate.set()
    behind.settle()
    assert seen == ["second"]
    behind.close()


@pytest.mark.parametrize(("room", "waiting", "most"), [(0, 2, 2), (100, 2, 2), (101, 2, 3), (301, 2, 5), (0, 4, 4)])
def test_no_more_writes_wait_than_may_or_than_there_is_room_for(room: int, waiting: int, most: int) -> None:
    behind, gate, handed = WriteBehind(room, waiting), threading.Event(), []

    def hand_over() -> None:
        for i in range(2 * most):
            behind.write(gate.wait, 100 if i >= 2 else 0)
            handed.append(i)

    caller = threading.Thread(target=hand_over)
    caller.start()
    while len(handed) < most:
        time.sleep(0.01)
    caller.join(0.1)  # as long as one more needs where nothing holds it back
    assert handed == [*range(most)]
    gate.set()
    caller.join()
    assert handed == [*range(2 * most)]
    behind.close()


def test_a_write_that_failed_is_told_and_is_the_last() -> None:
    behind, gate, seen = WriteBehind(), threading.Event(), []

    def fail() -> None:
        gate.wait()
        raise OSError("full")

    behind.write(fail)
    behind.write(lambda: seen.append("after"))
    gate.set()
    with pytest.raises(OSError, match="full"):
        behind.settle()
    behind.settle()
    behind.close()
    assert not seen
