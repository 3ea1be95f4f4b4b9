"""The partition's clock against its slow definition, over any chunking."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import HAS_ID, JUMPED, LATE, NONE_TIME, SKIP
from models.kernels.clock import HOLD_MESSAGES, batch_end, tick
from tests.naive_clock import HOLD, Params, clock

PARAMS = Params(lateness=5, late_count_max=100, max_jump=50)
TIMES = st.one_of(st.integers(1000, 1030), st.integers(900, 1300), st.integers(0, 5000))
ROWS = st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 2, 3, 255, 256, 257]), TIMES, st.none() | TIMES), max_size=40)


def run(rows, messages, cuts, ended=True):
    """The kernel as a partition drives it: a row that is held comes again in front of the next chunk."""
    greatest, candidate = NONE_TIME, NONE_TIME
    verdicts = []
    begin = 0
    bounds = [*sorted({min(cut, messages) for cut in cuts}), messages]
    for number, bound in enumerate(bounds):
        end = sum(ordinal < bound for ordinal, _, _ in rows)
        chunk = rows[begin:end]
        last = number == len(bounds) - 1
        place, after, candidates = (np.zeros(len(chunk), np.int64) for _ in range(3))
        flags = np.full(len(chunk), HAS_ID, np.uint8)
        decided = tick(
            np.array([time for _, time, _ in chunk], np.int64),
            np.array([NONE_TIME if record is None else record for _, _, record in chunk], np.int64),
            np.array([ordinal for ordinal, _, _ in chunk], np.int64),
            bound, ended and last, greatest, candidate, *PARAMS, place, flags, after, candidates,
        )  # fmt: skip
        assert decided in (len(chunk), len(chunk) - 1)
        for i in range(decided):
            assert flags[i] & HAS_ID
            f = int(flags[i])
            verdicts.append((begin + i, int(place[i]), bool(f & LATE), bool(f & SKIP), bool(f & JUMPED)))
            greatest, candidate = int(after[i]), int(candidates[i])
        begin += decided
    return verdicts, greatest


def placed(steps):
    ordinal, rows = -1, []
    for step, time, record in steps:
        ordinal += step
        rows.append((ordinal, time, record))
    return rows, ordinal + 1


@settings(max_examples=600, deadline=None)
@given(ROWS, st.lists(st.integers(0, 3000), max_size=12), st.booleans(), st.integers(0, 300))
def test_kernel_is_the_definition_however_the_rows_are_cut(steps, cuts, ended, dead_after):
    rows, messages = placed(steps)
    messages += dead_after
    expected, greatest = clock(rows, PARAMS, messages, ended)
    got, reached = run(rows, messages, cuts, ended)
    assert got == expected
    whole, _ = run(rows, messages, [], ended)
    assert whole == expected
    if greatest is not None and expected and expected[-1].row == len(rows) - 1:
        assert reached == greatest


def one_by_one(times, records=None):
    rows = [(i, t, records[i] if records else None) for i, t in enumerate(times)]
    verdicts, _ = run(rows, len(rows), range(len(rows)))
    return [(place, late, skip, jumped) for _, place, late, skip, jumped in verdicts]


def test_late_rows_are_placed_at_the_watermark_and_very_late_ones_skipped():
    assert one_by_one([1000, 1010, 1004, 1040, 934]) == [
        (1000, False, False, False),
        (1010, False, False, False),
        (1005, True, False, False),
        (1040, False, False, False),
        (1035, True, True, False),
    ]


def test_one_bad_clock_does_not_make_the_rest_late():
    for times in ([5000, 1000, 1001], [1000, 5000, 1001], [1000, 1001, 5000]):
        verdicts = one_by_one(times)
        assert [jumped for *_, jumped in verdicts] == [time == 5000 for time in times]
        assert [late for _, late, _, _ in verdicts] == [False] * 3
        assert all(skip == jumped for _, _, skip, jumped in verdicts)


def test_a_second_row_confirms_a_gap():
    assert [jumped for *_, jumped in one_by_one([1000, 2000, 2001, 2002])] == [False] * 4


def test_a_released_jump_stays_the_candidate():
    # 3000 leaves first as a jump, because 2000 confirms with the smaller time; 3001 then needs no second opinion
    assert [jumped for *_, jumped in one_by_one([1000, 3000, 2000, 3001, 3002])] == [False, True, False, False, False]


def test_a_lonely_row_counts_and_the_record_time_holds_the_clock():
    assert one_by_one([1234]) == [(1234, False, False, False)]
    assert one_by_one([1000, 1040, 1000], [1000, 1002, 1003]) == [
        (1000, False, False, False),
        (1040, False, False, False),
        (1000, False, False, False),
    ]


def test_dead_letters_do_not_hold_a_row_for_ever():
    assert HOLD == HOLD_MESSAGES
    rows = [(0, 1000, None), (1, 1001, None), (2, 5000, None), (3 + HOLD, 5001, None)]
    verdicts, _ = run(rows, 4 + HOLD, [])
    assert [jumped for *_, jumped in verdicts] == [False, False, True, False]


@pytest.mark.parametrize(
    ("places", "end"), [([10, 40, 41], 2), ([10, 20, 40], 3), ([40, 10, 9], 2), ([10], 1), ([10, 10, 100], 2)]
)
def test_a_batch_spans_at_most_the_span(places, end):
    assert batch_end(np.array(places, np.int64), 0, len(places), 30) == end
