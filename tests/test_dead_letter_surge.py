"""Surges of dead letters: where a letter counts, and when a surge is told of, beside slow definitions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.config import config_hash, load
from flows.connectors.partition import ClockParams, Partition
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from models.alert import CLOSE, CREATE, Alert
from models.base import END_OF_TIME, NONE_TIME
from models.event import DeadLetter
from models.rules.dead_letter_surge import DeadLetterSurge
from models.windows.dead_letters import BEFORE, WINDOW, DeadLetters
from models.windows.outage import PANE30_US
from models.windows.sources import Sources
from tests.command import command
from tests.test_decode import batch

START = 1_795_410_000_000_000
FIRST = START // PANE30_US
QUIET = 20


def letter(offset: int, source: str = "a") -> DeadLetter:
    return DeadLetter("decode", "not_json", source, offset, 0, 9, "", b"")


def surges(counts: dict[int, int], rule: DeadLetterSurge) -> list[tuple[int, int, int]]:
    """(pane of create, pane of close, letters up to the last crossing) of all incidents, pane by pane."""

    def over(last: int, panes: int) -> int:
        return sum(counts.get(at, 0) for at in range(last - panes + 1, last + 1))

    out, pane = [], min(counts, default=0)
    opened, last, total = None, 0, 0
    while pane <= max(counts, default=0) + BEFORE:
        holds = over(pane, WINDOW) >= max(rule.at_least, rule.times * over(pane - WINDOW, BEFORE) * WINDOW / BEFORE)
        if opened is None and holds and counts.get(pane):
            opened, last, total = pane, pane, over(pane, WINDOW)
        elif opened is not None and holds:
            total += over(pane, pane - last)
            last = pane
        elif opened is not None and pane - last >= QUIET:
            out.append((opened, pane, total))
            opened = None
        pane += 1
    return out


def told(alerts: list[Alert]) -> list[tuple[int, int, int]]:
    creates = {a.uid: a.time // PANE30_US - 1 for a in alerts if a.activity == CREATE}
    closes = {a.uid: (a.time // PANE30_US - 1, a.count) for a in alerts if a.activity == CLOSE}
    assert creates.keys() == closes.keys()
    for uid in creates:
        assert [a.seq for a in alerts if a.uid == uid] == list(range(sum(a.uid == uid for a in alerts)))
    return [(creates[uid], *closes[uid]) for uid in creates]


COUNTS = st.dictionaries(st.integers(0, 400), st.integers(1, 40), max_size=40)
STEPS = st.lists(st.integers(1, 90), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(counts=COUNTS, steps=STEPS, rule=st.builds(DeadLetterSurge, at_least=st.integers(1, 60)))
def test_a_surge_is_its_definition_however_the_time_moves(
    counts: dict[int, int], steps: list[int], rule: DeadLetterSurge
) -> None:
    counts = {FIRST + at: count for at, count in counts.items()}
    model = DeadLetters([(rule, QUIET)])
    alerts: list[Alert] = []
    pane = offset = turn = 0
    left = sorted(counts)
    at = FIRST
    while left:
        until = at + steps[turn % len(steps)]
        turn += 1
        while left and left[0] < until:
            pane = left.pop(0)
            mine = [letter(offset + k) for k in range(counts[pane])]
            offset += len(mine)
            model.add(mine, [pane * PANE30_US] * len(mine), at)
        alerts += model.close(at, until, 0)
        at = until
    alerts += model.close(at, END_OF_TIME, 0)
    assert told(alerts) == surges(counts, rule)
    assert not model.sources, "nothing is remembered for ever"


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.one_of(st.integers(0, 400), st.none()), min_size=1, max_size=60),
    rows=st.integers(1, 9),
    feed=st.integers(1, 20),
)
def test_a_dead_letter_counts_at_the_greatest_time_before_it(lines: list[int | None], rows: int, feed: int) -> None:
    """Whatever the size of batches; before the first event it has no time."""
    raw = [b"{" if at is None else b'{"time": %d, "user": "u"}' % (START // 1_000_000 + at) for at in lines]
    expected, greatest = [], NONE_TIME
    for at in lines:
        if at is None:
            expected.append(greatest)
        else:
            greatest = max(greatest, START + at * 1_000_000)
    partition = Partition("a", ("a",), lambda r: decode(r, Limits()), ClockParams(), rows)
    found: list[int] = []
    for at in range(0, len(raw), feed):
        piece = batch(raw[at : at + feed])
        partition.feed(replace(piece, offset=piece.offset + at), ended=at + feed >= len(raw))
        while partition.pending:
            item = partition.take()
            assert len(item.dead) == len(item.dead_place)
            found += item.dead_place.tolist()
    assert found == expected


def test_time_that_leaps_costs_nothing() -> None:
    """One bad clock, confirmed by a second: letters of today and of the year 2099."""
    model = DeadLetters([(DeadLetterSurge(at_least=2), QUIET)])
    late = START + 73 * 365 * 86_400_000_000
    model.add([letter(0), letter(1), letter(2), letter(3)], [START, START, late, late], FIRST)
    alerts = model.close(FIRST, END_OF_TIME, 0)
    assert told(alerts) == [
        (FIRST, FIRST + WINDOW - 1 + QUIET, 2), (late // PANE30_US, late // PANE30_US + WINDOW - 1 + QUIET, 2)
    ]  # fmt: skip


def source_batch(dead: list[int], places: list[int], first: int, reached: int, place: list[int]) -> Any:
    from tests.batches import batch as rows_batch
    from tests.batches import row

    rows = [row(at, user="u") for at in place]
    for r in rows:
        r.place = r.time
    item = rows_batch("a", ("a",), 0, rows, reached - len(rows) + 1, 0, 0)
    return replace(
        item, first=(first, 0), reached=(reached, 0), watermark=max(place, default=NONE_TIME),
        dead=tuple(letter(at) for at in dead), dead_place=np.array(places, np.int64),
    )  # fmt: skip


def test_letters_before_the_first_event_wait_for_it() -> None:
    sources = Sources((DeadLetterSurge(at_least=3),), 0)
    sources.take(source_batch([0, 1, 2], [NONE_TIME] * 3, -1, 2, []), (-1, -1))
    assert not sources.due(NONE_TIME)
    sources.take(source_batch([], [], 2, 3, [START + 7]), (2, 0))
    assert sources.due(START + PANE30_US)
    (create,) = sources.close(START + PANE30_US, 0)
    assert (create.activity, create.count, create.start) == (CREATE, 3, START)
    assert [e["id"] for e in create.evidences] == ["a:0", "a:1", "a:2"]


def test_letters_counted_before_a_restart_are_not_counted_again() -> None:
    whole = source_batch([0, 1, 2, 3], [START] * 4, -1, 4, [START])
    sources = Sources((DeadLetterSurge(at_least=3),), 0)
    sources.take(whole, (1, 0))
    assert sources.dead.sources["a"].panes[FIRST].count == 2
    sources.take(whole, (4, 0))
    assert sources.dead.sources["a"].panes[FIRST].count == 2


def test_a_snapshot_brings_back_everything() -> None:
    rule = DeadLetterSurge(at_least=3)
    one = Sources((rule,), 0)
    one.take(source_batch([0, 1, 2], [START] * 3, -1, 3, [START]), (-1, -1))
    one.close(START + 2 * PANE30_US, 0)
    other = Sources((rule,), 0)
    other.restore(one.snapshot())
    assert other.dead.sources == one.dead.sources
    assert [*other.dead.sources["a"].open] == ["dead_letter_surge"]
    later = START + 100 * PANE30_US
    assert other.close(later, 0) == one.close(later, 0) != []
    gone = Sources((DeadLetterSurge(id="another"),), 0)
    gone.restore(one.snapshot())
    assert gone.close(later, 0) == []


def test_a_share_of_all_is_one_whatever_was_before() -> None:
    """An hour of one in fifty is no surge; with a share of 1 % it is one, and 3 of 1,000 is none."""

    def creates(rule: DeadLetterSurge, rubbish: int, good: int) -> list[float]:
        sources, offset, out = Sources((rule,), 0), 0, list[Alert]()
        for pane in range(BEFORE + 2 * WINDOW):
            at = START + pane * PANE30_US
            dead = [offset + k for k in range(rubbish)]
            offset += rubbish + good
            sources.take(source_batch(dead, [at] * rubbish, dead[0] - 1, offset - 1, [at] * good), (-1, -1))
            out += sources.close(at, 0) if sources.due(at) else []
        assert all(len(letters.panes) <= BEFORE + WINDOW + 2 for letters in sources.dead.sources.values())
        return [alert.limit for alert in out if alert.activity == CREATE]

    young = DeadLetterSurge(at_least=1000)
    assert creates(young, 2, 98) == []
    assert creates(DeadLetterSurge(at_least=20, times=1e6, share=0.01), 2, 98) == [20.0]
    assert creates(DeadLetterSurge(at_least=2, times=1e6, share=0.01), 2, 498) == [], "fewer than one in a hundred"


def test_events_in_front_of_dead_letters_count_for_the_share_after_a_restart() -> None:
    rule = DeadLetterSurge(at_least=2, times=1e6, share=0.5)
    one = Sources((rule,), 0)
    one.take(source_batch([], [], -1, 2, [START, START + 1, START + 2]), (-1, -1))
    other = Sources((rule,), 0)
    other.restore(one.snapshot())
    for sources, expected in ((other, 0), (Sources((rule,), 0), 1)):
        sources.take(source_batch([3, 4], [START, START], 2, 4, []), (2, 0))
        assert len(sources.close(START + PANE30_US, 0)) == expected


def test_a_share_is_part_of_the_configuration_s_hash() -> None:
    """A share is part of what shapes results; tests of golden states hold that none changes nothing."""
    plain = msgspec.structs.replace(load(), detection=(DeadLetterSurge(),))
    asking = msgspec.structs.replace(load(), detection=(DeadLetterSurge(share=0.01),))
    assert config_hash(plain) != config_hash(asking)


def test_a_check_says_what_a_share_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[[detection]]\ntype = "dead_letter_surge"\nid = "share"\nshare = 0.01\nat_least = 20\n')
    code, text, _ = command("check", path)
    assert code == 0
    assert "At least 20 dead letters of a source in 5 minutes, and 0.01 of its messages." in text
    assert "24 default detections are not in this configuration" in text
