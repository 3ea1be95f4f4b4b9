"""Where an epoch ends that several processes end together, a partition is not due before it is of use."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from flows.connectors import polled
from flows.connectors.epoch_end import EpochEnd
from tests.test_files_source import lines, source


def ends(took: list[float]) -> list[float]:
    """For how long a partition rests at each end of an epoch of a second, if ends take so long and it is obeyed."""
    end, now, ended, rests = EpochEnd(), 0.0, 0.0, []
    for one in took:
        if now < ended + 0.9:
            end.polled(ended + 0.9)
            assert end.rest() == 0.0
        now = ended = max(now, ended + 1.0)
        end.polled(now)
        rests.append(end.rest())
        end.saved(now)
        now += max(one, rests[-1])
        end.polled(now)
    return rests


def test_no_rest_before_it_is_known_how_long_an_epoch_is() -> None:
    assert ends([0.4, 0.4]) == [0.0, 0.0]


def test_a_first_epoch_that_began_before_it_was_seen_is_not_taken_for_a_short_one() -> None:
    end = EpochEnd()
    for time in (0.1, 1.1):
        end.polled(time)
        end.saved(time)
        end.polled(time + 0.4)
    for time in (1.6, 2.0):
        end.polled(time)
        assert end.rest() == 0.0


def test_it_rests_for_three_quarters_of_what_the_last_end_took() -> None:
    assert ends([0.4, 0.4, 0.2, 0.2]) == pytest.approx([0.0, 0.0, 0.3, 0.225])


def test_a_rest_that_was_too_long_makes_the_next_one_shorter() -> None:
    rests = ends([0.4] * 2 + [0.01] * 12)
    assert all(later <= earlier * 0.7501 for earlier, later in pairwise(rests[2:]))
    assert rests[-1] < 0.02


def test_it_rests_for_a_second_at_most() -> None:
    assert ends([0.4, 60.0, 60.0]) == pytest.approx([0.0, 0.0, 1.0])


@pytest.mark.parametrize("alone", [False, True])
def test_a_partition_is_due_later_only_where_others_end_the_epoch_too(tmp_path, monkeypatch, alone) -> None:
    now = [100.0]
    monkeypatch.setattr(polled, "time", SimpleNamespace(monotonic=lambda: now[0]))
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(range(10_000)))
    part = source(path, alone=alone, batch_rows=100).build_part("source", "a.ndjson", None)
    due = []
    for time in (100.5, 101.0, 101.4, 102.0, 102.4, 102.9, 103.1):
        now[0] = time
        part.next_batch()
        due.append(part.next_awake())
        if time in (101.0, 102.0, 103.1):
            part.snapshot()
    assert due[:6] == [None] * 6
    assert (due[6] is None) is alone
    part.close()
