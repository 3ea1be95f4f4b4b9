"""Reading ahead: the same micro-batches, one earlier, from a reader that serves one thread at a time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from flows.connectors.read_ahead import ReadAhead
from flows.errors import InputError
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from models.base import NONE_TIME

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


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def reading(script: Script, thread: ThreadPoolExecutor, decoded: list[int] | None = None) -> ReadAhead:
    def decoding(raw: RawBatch) -> Any:
        if decoded is not None:
            decoded.append(int(raw.offset[0]))
        return decode(raw, Limits())

    return ReadAhead(script, decoding, thread)


def test_micro_batches_come_as_the_reader_gives_them(thread: ThreadPoolExecutor) -> None:
    given = [batch(0), batch(1), None, batch(2)]
    ahead = reading(Script(list(given)), thread)
    seen = []
    while not ahead.ended:
        raw = ahead.read()
        seen.append((raw, ahead.silent))
    assert seen == [(given[0], False), (given[1], False), (None, True), (given[3], False)]


def test_the_next_one_is_read_and_decoded_before_it_is_asked_for(thread: ThreadPoolExecutor) -> None:
    script, decoded = Script([batch(0), batch(1), batch(2)]), []
    ahead = reading(script, thread, decoded)
    first = ahead.read()
    assert first is not None
    ahead.position(0)  # waits for the read under way
    assert script.reads == 2
    assert decoded == [0, 1]
    assert ahead.decode(first).time.tolist() == [1763874000_000_000]
    assert decoded == [0, 1]  # it was decoded already,
    ahead.decode(first)
    assert decoded == [0, 1, 0]  # and is given once, because whoever has it writes into it
    assert not ahead.ended


def test_a_silent_reader_is_not_asked_before_it_is_polled(thread: ThreadPoolExecutor) -> None:
    script = Script([None, batch(0)])
    ahead = reading(script, thread)
    assert ahead.read() is None
    ahead.position(0)
    assert script.reads == 1


def test_a_failed_read_is_told_where_it_would_have_come(thread: ThreadPoolExecutor) -> None:
    ahead = reading(Script([batch(0), InputError("a: has vanished"), batch(1)]), thread)
    assert ahead.read() is not None
    with pytest.raises(InputError, match="vanished"):
        ahead.read()


def test_position_and_close_wait_for_the_read_under_way(thread: ThreadPoolExecutor) -> None:
    script = Script([batch(0), batch(1), batch(2)])
    ahead = reading(script, thread)
    ahead.read()
    ahead.position(0)
    script.gate.clear()
    ahead.read()  # the third is under way, and stuck
    threading.Timer(0.05, script.gate.set).start()
    assert ahead.position(7) == (7, 3)
    script.gate.set()
    ahead.close()
    assert script.closed
