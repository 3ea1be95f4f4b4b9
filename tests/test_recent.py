"""The events behind a spike: whatever is let go of, what is asked for is what was there."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import IP
from models.event import EventBatch
from models.kernels.layout import PANE_US
from models.windows.evidence import MESSAGE_LIMIT, Witness, ends, witness
from models.windows.recent import STREAK_PANES, Recent
from tests.batches import batch, row

ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
START = 1_795_410_000_000_000 // PANE_US


@dataclass
class Naive:
    """All events ever, and what a run would have let go of."""

    events: list[tuple[int, int, Witness]] = field(default_factory=list)  # (entity, pane, event)

    def witnesses(self, entity: int, first: int, last: int) -> list[Witness]:
        found: list[Witness] = []
        for pane in range(first, last + 1):
            found += ends(sorted(w for owner, at, w in self.events if owner == entity and at == pane))
        return sorted(found)

    def forget(self, before: int, streaking: set[int]) -> None:
        """Panes that have closed stay only of entities under way to a spike."""
        oldest = before - STREAK_PANES
        self.events = [e for e in self.events if e[1] >= before or (e[1] >= oldest and e[0] in streaking)]


def five(found: list[Witness], panes: dict[Witness, int]) -> Iterator[Witness]:
    """At most five of each pane, by (time, content): what an incident makes of an answer."""
    for pane in sorted({panes[w] for w in found}):
        yield from ends(sorted(w for w in found if panes[w] == pane))


def made(moments: list[tuple[int, int, int, int]], first: int) -> EventBatch:
    """Events of (address, pane, moment in it, what is said), each another message unless all of that is equal."""
    return of([(who, pane, moment, f"{who}:{said}".encode()) for who, pane, moment, said in moments], first)


def of(moments: list[tuple[int, int, int, bytes]], first: int = 0) -> EventBatch:
    """Events of (address, pane, moment in it, message)."""
    rows = []
    for who, pane, moment, message in moments:
        time = pane * PANE_US + moment * 1_000_000
        rows.append(replace(row(time, ip=ADDRESSES[who]), place=time, message=message))
    return batch("p", ("p",), 0, rows, first, 0, 0)


EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=30
)
STEPS = st.lists(st.tuples(EVENTS, st.integers(0, 3), st.sets(st.integers(0, 2))), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.booleans())
def test_what_is_asked_for_is_what_was_there(
    steps: list[tuple[list[tuple[int, int, int, int]], int, set[int]]], restarted: bool
) -> None:
    recent, naive = Recent(IP), Naive()
    before, streaking, panes = START, {0, 1, 2}, dict[Witness, int]()
    owners = [int(made([(who, START, 0, 0)], 0).entity[IP, 0]) for who in range(3)]
    for number, (events, passed, still) in enumerate(steps):
        came = made([(who, before + ahead, moment, said) for who, ahead, moment, said in events], 100 * number)
        rows = np.arange(len(came))
        start, length = came.shown
        for k in range(len(came)):
            text = came.buffer[start[k] : start[k] + length[k]].tobytes()
            event = witness(int(came.time[k]), text)
            pane = int(came.place[k]) // PANE_US
            naive.events.append((int(came.entity[IP, k]), pane, event))
            panes[event] = pane
        recent.add(came, rows, int(came.place.max()) // PANE_US)
        streaking &= still  # who has no streak any more is let go of; those that begin one later have nothing older
        before += passed
        mine = {owners[who] for who in streaking}
        naive.forget(before, mine)
        recent.forget(before, np.array(sorted(mine), np.uint64))
        if restarted:
            saved = recent.snapshot(before, np.array(sorted(owners), np.uint64))
            again = Recent(IP)
            again.restore([(entity, pane, [list(w) for w in few]) for entity, pane, few in saved])
            naive.events = [(owner, pane, w) for owner, pane, few in saved for w in few]
            recent = again
        for owner in mine:
            for first in range(before - STREAK_PANES, before + 4, 3):
                asked = recent.witnesses(owner, first, first + 2)
                assert list(five(asked, panes)) == list(five(naive.witnesses(owner, first, first + 2), panes))
                assert len(asked) <= 3 * 5 * (len(steps) + 1)
                assert asked == sorted(asked)


def test_of_a_flood_at_one_moment_five_are_kept_by_their_content() -> None:
    recent = Recent(IP)
    came = made([(0, START, 0, k) for k in range(500)], 0)
    owner = np.array([came.entity[IP, 0]], np.uint64)
    recent.add(came, np.arange(500), START)
    recent.forget(START + 1, owner)
    assert len(recent.copies.owner) == 5
    start, length = came.shown
    texts = [came.buffer[start[k] : start[k] + length[k]].tobytes() for k in range(500)]
    assert recent.witnesses(int(owner[0]), START, START) == ends(
        sorted(witness(int(came.time[0]), text) for text in texts)
    )


@pytest.mark.parametrize("size", [MESSAGE_LIMIT, MESSAGE_LIMIT + 1])
def test_a_message_that_is_too_long_is_not_kept(size: int) -> None:
    recent = Recent(IP)
    came = of([(0, START, 0, b"x" * size)])
    recent.add(came, np.arange(1), START)
    recent.forget(START + 1, came.entity[IP])
    (found,) = recent.witnesses(int(came.entity[IP, 0]), START, START)
    assert len(found.message) == (size if size <= MESSAGE_LIMIT else 0)


def test_without_a_streak_nothing_stays() -> None:
    recent = Recent(IP)
    came = made([(0, START, 0, 0), (1, START, 0, 0)], 0)
    recent.add(came, np.arange(2), START)
    assert recent.closed(START + 1)
    recent.forget(START + 1, came.entity[IP, :1])
    assert recent.witnesses(int(came.entity[IP, 0]), START, START)
    assert not recent.witnesses(int(came.entity[IP, 1]), START, START)
    recent.forget(START + 1 + STREAK_PANES + 1, came.entity[IP, :1])
    assert not recent.closed(START + 1 + STREAK_PANES + 1)
