"""Reading ahead: the same micro-batches, one earlier, from a reader that serves one thread at a time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from flows.connectors.read_ahead import AHEAD, ReadAhead
from flows.errors import InputError
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from models.base import NONE_TIME
from tests.kafka_runs import eventually

EVENT = b'{"time":1763874000,"ip":"192.0.2.1"}'


def batch(number: int) -> RawBatch:
    return RawBatch(
        "a", np.frombuffer(EVENT, np.uint8), np.zeros(1, np.int64), np.full(1, len(EVENT)),
        np.full(1, number), np.zeros(1, np.int32), np.full(1, NONE_TIME),
    )  # fmt: skip


class Script:
    """A reader that gives what a list says: a batch, None (nothing for now) or an error."""

    def __init__(self, steps: list[Any]) -> None:
        self.steps = steps
        self.reads = 0
        self.ended = self.silent = self.closed = False
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Lock()

    def read(self) -> RawBatch | None:
        assert self.busy.acquire(blocking=False), "two threads at once"
        try:
            self.gate.wait()
            step = self.steps[self.reads]
            self.reads += 1
            self.ended = self.reads == len(self.steps)
            self.silent = step is None
            if isinstance(step, Exception):
                raise step
            return step
        finally:
            self.busy.release()

    def position(self, offset: int) -> Any:
        assert self.busy.acquire(blocking=False), "two threads at once"
        self.busy.release()
        return offset, self.reads

    def close(self) -> None:
        self.closed = True


@pytest.fixture(params=[1, AHEAD])
def threads(request: pytest.FixtureRequest) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(request.param) as pool:
        yield pool


def reading(script: Script, threads: ThreadPoolExecutor, decoded: list[int] | None = None) -> ReadAhead:
    def decoding(raw: RawBatch) -> Any:
        if decoded is not None:
            decoded.append(int(raw.offset[0]))
        return decode(raw, Limits())

    return ReadAhead(script, decoding, threads)


def test_micro_batches_come_as_the_reader_gives_them(threads: ThreadPoolExecutor) -> None:
    given = [batch(0), batch(1), None, batch(2)]
    ahead = reading(Script(list(given)), threads)
    seen = []
    while not ahead.ended:
        raw = ahead.read()
        seen.append((raw, ahead.silent))
    assert seen == [(given[0], False), (given[1], False), (None, True), (given[3], False)]


def test_the_next_two_are_read_and_decoded_before_they_are_asked_for(threads: ThreadPoolExecutor) -> None:
    script, decoded = Script([batch(number) for number in range(5)]), []
    ahead = reading(script, threads, decoded)
    first = ahead.read()
    assert first is not None
    eventually(lambda: len(decoded) == 3, "two are ahead")
    assert script.reads == 3, "and no more"
    assert ahead.decode(first).time.tolist() == [1763874000_000_000]
    assert sorted(decoded) == [0, 1, 2]  # it was decoded already,
    ahead.decode(first)
    assert sorted(decoded) == [0, 0, 1, 2]  # and is given once, because whoever has it writes into it
    assert not ahead.ended


def test_two_are_decoded_beside_each_other_and_come_in_order() -> None:
    beside = threading.Barrier(AHEAD, timeout=60)

    def decoding(raw: RawBatch) -> Any:
        if raw.offset[0]:  # the first is alone
            beside.wait()
        return decode(raw, Limits())

    with ThreadPoolExecutor(AHEAD) as threads:
        ahead = ReadAhead(Script([batch(number) for number in range(1 + 2 * AHEAD)]), decoding, threads)
        seen = []
        while not ahead.ended:
            raw = ahead.read()
            assert raw is not None
            seen.append(int(ahead.decode(raw).offset[0]))
    assert seen == [*range(1 + 2 * AHEAD)]


def test_a_silent_reader_is_not_asked_before_it_is_polled(threads: ThreadPoolExecutor) -> None:
    script = Script([None, batch(0)])
    ahead = reading(script, threads)
    assert ahead.read() is None
    ahead.position(0)
    assert script.reads == 1


def test_a_failed_read_is_told_where_it_would_have_come(threads: ThreadPoolExecutor) -> None:
    ahead = reading(Script([batch(0), InputError("a: has vanished"), batch(1)]), threads)
    assert ahead.read() is not None
    with pytest.raises(InputError, match="vanished"):
        ahead.read()


def test_ready_is_what_has_been_read_and_decoded_and_gives_something() -> None:
    script = Script([batch(0), batch(1), None, InputError("a: has vanished")])
    decoding = threading.Event()

    def slowly(raw: RawBatch) -> Any:
        assert raw.offset[0] == 0 or decoding.wait(60)
        return decode(raw, Limits())

    with ThreadPoolExecutor(AHEAD) as threads:
        ahead = ReadAhead(script, slowly, threads)
        assert not ahead.ready(), "nothing has been asked for"
        ahead.read()
        eventually(lambda: script.reads >= 2, "the next is read")
        assert not ahead.ready(), "it is not decoded"
        decoding.set()
        eventually(ahead.ready, "it is decoded")
        ahead.read()
        eventually(lambda: script.reads == 3, "the reader is silent")
        assert not ahead.ready()
        assert ahead.read() is None
        assert not ahead.ready()
        with pytest.raises(InputError):
            ahead.read()


def test_as_many_are_ahead_as_are_taken_at_once(threads: ThreadPoolExecutor) -> None:
    script, decoded = Script([batch(number) for number in range(9)]), list[int]()

    def decoding(raw: RawBatch) -> Any:
        decoded.append(int(raw.offset[0]))
        return decode(raw, Limits())

    ahead = ReadAhead(script, decoding, threads, 4)
    ahead.read()
    eventually(lambda: len(decoded) == 5, "four are ahead")
    assert script.reads == 5, "and no more"


def test_position_and_close_wait_for_the_read_under_way(threads: ThreadPoolExecutor) -> None:
    script = Script([batch(number) for number in range(5)])
    ahead = reading(script, threads)
    ahead.read()
    eventually(lambda: script.reads == 3, "two are ahead")
    script.gate.clear()
    ahead.read()  # the fourth is under way, and stuck
    threading.Timer(0.05, script.gate.set).start()
    assert ahead.position(7) == (7, 4)
    script.gate.set()
    ahead.close()
    assert script.closed
