"""Counted events are kept for as long as a window may ask for them, and no longer."""

import numpy as np
import pytest

from models.windows.evidence import LOOK_BACK_US, MERGE_ABOVE, SHARD_LIMIT, WHOLE, Chunk, Evidence

SECOND = 1_000_000


def chunk(at: int, bytes_each: int, n: int = 4) -> Chunk:
    """Events of entity 7 at one time, each with a message of its own."""
    messages = [f"{at}-{i}|".encode().ljust(bytes_each, b"x") for i in range(n)]
    length = np.full(n, bytes_each)
    return Chunk(
        np.full(n, 7, np.uint64), np.full(n, at), np.full(n, at), np.ones(n, np.uint64), np.cumsum(length) - length,
        length, np.frombuffer(b"".join(messages), np.uint8), at,
    )  # fmt: skip


@pytest.mark.parametrize(("a_window", "bytes_each"), [(200, 40), (200, 500), (200, 2_000), (20, WHOLE // 4), (20, 100)])
def test_a_long_stream_keeps_what_a_window_may_ask_for_and_little_else(a_window: int, bytes_each: int) -> None:
    evidence = Evidence(5 * SECOND)
    step = LOOK_BACK_US // a_window
    for k in range(2_000):
        evidence.put(chunk(k * step, bytes_each))
        evidence.forget(k * step)
        assert evidence.size == sum(len(c.blob) + 40 * len(c.place) for c in evidence.chunks)
        assert evidence.size <= 2 * WHOLE + (a_window + MERGE_ABOVE) * 4 * (bytes_each + 40)
        assert len(evidence.chunks) <= 2 * MERGE_ABOVE
        if k % 500 == 499:
            found = evidence.witnesses(7, 1, (k - a_window + 2) * step, (k + 1) * step)
            assert [w.time for w in found] == [at * step for at in range(k - a_window + 2, k + 1) for _ in range(4)]
            assert {w.message.partition(b"|")[0] for w in found} == {
                b"%d-%d" % (at * step, i) for at in range(k - a_window + 2, k + 1) for i in range(4)
            }
    assert evidence.dropped == 0


def test_above_its_limit_the_oldest_go_a_few_at_a_time() -> None:
    evidence = Evidence(5 * SECOND)
    for k in range(3_000):
        evidence.put(chunk(k, 2_000))
    evidence.forget(0)
    assert SHARD_LIMIT - 2 * WHOLE - 100_000 < evidence.size <= SHARD_LIMIT
    assert evidence.dropped + sum(len(c.place) for c in evidence.chunks) == 4 * 3_000
    assert min(int(c.place.min()) for c in evidence.chunks) > 0
