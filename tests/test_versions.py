"""A profile's versions: the same whatever order changes come in, gaps shown, any time and any two compared."""

import random
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.trail.versions import ABSENT, Difference, Version, as_of, at, difference, of_field, versions
from tests.small_trails import NOW, read, told

_VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["a", "b", "1", ""]))
_CHANGE = st.fixed_dictionaries(
    {"path": st.sampled_from(["email", "phone", "address.city"])}, optional={"old": _VALUES, "new": _VALUES}
)
_EVENT = st.tuples(st.integers(0, 5), st.lists(_CHANGE, min_size=1, max_size=3), st.sampled_from([None, "e-1", "e-2"]))


def _change(minute: float, path: str, old: Any, new: Any, **more: Any) -> dict[str, Any]:
    changes = [{"path": path, "old": old, "new": new}]
    return told(minute, "profile_update", user="u-1", changes=changes, **more)


def _core(chain: list[Version]) -> list[tuple[Any, ...]]:
    """What of versions must not depend on arrival: all but where each event came from."""
    return [(one.number, one.time, one.id, one.changes, one.copies, one.unreadable) for one in chain]


@settings(max_examples=150, deadline=None)
@given(st.lists(_EVENT, min_size=1, max_size=8), st.randoms(use_true_random=False), st.lists(st.integers(0, 7)))
def test_any_order_of_arrival_gives_the_same_versions(
    events: list[tuple[int, list[dict[str, Any]], str | None]], luck: random.Random, again: list[int]
) -> None:
    made = [told(minute, "profile_update", user="u-1", id=id_, changes=changes) for minute, changes, id_ in events]
    made += [made[number % len(made)] for number in again]
    ordered = versions(read(one, offset) for offset, one in enumerate(made))
    luck.shuffle(made)
    shuffled = versions(read(one, offset) for offset, one in enumerate(made))
    assert _core(ordered) == _core(shuffled)
    assert [one.time for one in ordered] == sorted(one.time for one in ordered)
    assert sum(one.copies for one in ordered) == len(made)


@settings(max_examples=100, deadline=None)
@given(st.permutations(["a", "b", "c", "d", "e"]), st.randoms(use_true_random=False))
def test_changes_of_one_moment_connect(values: list[str], luck: random.Random) -> None:
    events = [_change(1, "email", old, new) for old, new in pairwise(values)]
    luck.shuffle(events)
    chain = versions(read(one, offset) for offset, one in enumerate(events))
    assert [one.changes[0].new for one in chain] == values[1:]
    assert not any(one.gaps for one in chain)


def test_a_late_and_a_duplicate_change_settle_into_event_time() -> None:
    events = [_change(9, "email", "b", "c"), _change(1, "email", "a", "b"), _change(9, "email", "b", "c")]
    chain = versions(read(one, offset) for offset, one in enumerate(events))
    assert [(one.changes[0].old, one.changes[0].new, one.copies) for one in chain] == [("a", "b", 1), ("b", "c", 2)]
    assert not any(one.gaps for one in chain)


def test_a_chain_that_does_not_connect_is_a_gap_with_what_was_known() -> None:
    chain = versions(map(read, [_change(1, "email", "a", "b"), _change(2, "email", "x", "c")]))
    assert chain[1].changes[0].gap
    assert (chain[1].changes[0].known, chain[1].gaps, chain[0].gaps) == ("b", 1, 0)


def test_an_id_that_is_used_again_hides_no_change() -> None:
    events = [_change(1, "email", "a", "b", id="e-1"), _change(1, "email", "b", "evil", id="e-1")]
    assert [one.changes[0].new for one in versions(map(read, events))] == ["b", "evil"]


def test_values_are_compared_as_json_and_what_is_not_told_is_no_gap() -> None:
    untold = told(3, "profile_update", user="u-1", changes=[{"path": "mfa"}, {"path": 7}, "odd"])
    chain = versions(map(read, [_change(1, "mfa", False, True), _change(2, "mfa", 1, 0), untold]))
    assert [one.gaps for one in chain] == [0, 1, 0]
    assert (chain[2].unreadable, chain[2].changes[0].old) == (2, ABSENT)
    assert at(chain, 3) == {}


def test_as_of_diff_and_field() -> None:
    events = [_change(1, "email", "a", "b"), _change(2, "address.city", None, "Ulm"), _change(3, "email", "b", "c")]
    chain = versions(map(read, events))
    minute = 60_000_000
    assert as_of(chain, NOW) == {"email": "a", "address.city": None}
    assert as_of(chain, NOW + 2 * minute) == {"email": "b", "address.city": "Ulm"}
    assert difference(chain, 1, 3) == [
        Difference(path="address.city", first=None, second="Ulm"),
        Difference(path="email", first="b", second="c"),
    ]
    assert [one.number for one in of_field(chain, "address")] == [2]
    assert [one.number for one in of_field(chain, "email")] == [1, 3]
