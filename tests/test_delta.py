"""Changes, replayed, are the tables that they were taken of; and what does not belong together is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.windows.delta import Changes, Replay, Rows

KIND = np.dtype([("key", np.uint64), ("values", np.float32, (19,)), ("flag", np.uint8)], align=True)
STEP = st.tuples(
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 2)), max_size=9),  # rows written, with 0 or something
    st.sets(st.integers(0, 39), max_size=12),  # rows in use
    st.integers(0, 3),  # the flat array's length
    st.integers(0, 3),  # pieces let go of
    st.integers(0, 2),  # pieces that come
    st.booleans(),  # the table is made anew, elsewhere
    st.booleans(),  # begin again
)


def expected(array: Any, places: Any) -> Any:
    found = np.zeros_like(array)
    found[places] = array[places]
    return found


def by_field(array: Any) -> dict[str, Any]:
    return {name: array[name].tolist() for name in KIND.names or ()}


@given(st.lists(STEP, min_size=1, max_size=8))
def test_changes_replayed_are_what_they_were_taken_of(steps: list[Any]) -> None:
    rows = np.zeros(40, KIND)
    pieces: list[tuple[Any, ...]] = []
    changes, taken = Changes(), []
    numbers = iter(range(1_000))
    for written, used, length, gone, come, moved, begin in steps:
        rows = np.roll(rows, 1) if moved else rows
        for place, value in written:
            rows[place] = (value * 7, np.arange(19) * value, value)
        places = np.array(sorted(used), np.int64)
        flat = np.arange(length, dtype=np.int16) + len(written)
        pieces = pieces[gone:] + [(np.full(3, next(numbers)), np.zeros(0, np.uint8)) for _ in range(come)]
        if begin:
            changes, taken = Changes(), []
        tables = {"rows": Rows(rows, places), "flat": flat, "none": np.zeros((length, 0)), "few": rows["flag"][:5]}
        taken.append(changes.take(tables, pieces, b"%d" % len(taken)))
        replay = Replay()
        for one in taken:
            replay.add(one)
        found = replay.tables()
        assert by_field(found["rows"].view(KIND)) == by_field(expected(rows, places))
        assert found["flat"].tolist() == flat.tolist()
        assert found["few"].tolist() == rows["flag"][:5].tolist()
        assert found["none"].shape == (length, 0)
        assert replay.pieces() == [[first.tobytes(), second.tobytes()] for first, second in pieces]
        assert replay.rest == b"%d" % (len(taken) - 1)


def test_what_has_not_changed_is_not_taken_again() -> None:
    table = np.random.default_rng(1).integers(0, 2**63, (1000, 20))
    changes, piece = Changes(), (np.ones(10_000), np.ones(1))
    places = np.arange(1000)
    assert len(changes.take({"t": Rows(table, places)}, [piece], b"")) > table.nbytes
    assert len(changes.take({"t": Rows(table, places)}, [piece], b"")) < 100
    table[500, 19] += 1
    third = changes.take({"t": Rows(table, places)}, [piece], b"")
    assert len(third) < 300
    # The row leaves and comes back: it was written already.
    assert len(changes.take({"t": Rows(table, places[:500])}, [piece], b"")) < 300
    assert len(changes.take({"t": Rows(table, places)}, [piece], b"")) < 300


def test_changes_without_their_beginning() -> None:
    table, piece = np.zeros(100), (np.ones(3),)
    changes = Changes()
    first = changes.take({"t": table}, [piece], b"")
    table[7] = 1
    second = changes.take({"t": table}, [piece], b"")
    with pytest.raises(ValueError, match="changes of t without a beginning"):
        Replay().add(second)
    replay = Replay()
    replay.add(first)
    replay.add(second)
    other = Replay()
    other.add(Changes().take({"t": table}, [], b""))
    with pytest.raises(ValueError, match="pieces without a beginning"):
        other.add(second)
    shorter = Replay()
    shorter.add(Changes().take({"t": table[:3]}, [piece], b""))
    table[99] = 1
    with pytest.raises(ValueError, match=r"changes of a place that there is not|of another size"):
        shorter.add(changes.take({"t": table}, [piece], b""))
