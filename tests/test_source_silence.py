"""Silences, beside a slow definition that walks pane by pane: whenever the watermark moves, the same is told."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.rules.source_silence import SourceSilence
from models.windows.outage import PANE30_US
from models.windows.silence import ACCEPTED, FORGOTTEN, HOUR, LEAST_PANES, Silence, Watched
from models.windows.sources import Sources

FIRST = 59_847_000
RULE = Watched("silence", "source", "high", after=10, times=3.0, history=60)


def silences(spoken: set[int], until: int, rule: Watched) -> list[tuple[int, int, float]]:
    """Every message as (activity, pane, minutes of silence), pane by pane."""
    out: list[tuple[int, int, float]] = []
    first = last = None
    gaps: list[tuple[int, int]] = []  # (pane in which it ended, its length)
    told = 0
    for pane in range(min(spoken, default=until), until):
        if pane in spoken:
            if first is None or last is None:
                first, gaps = pane, []
                silent = 0
            else:
                silent = pane - last - 1
                if told:
                    out.append((CLOSE, pane, silent / 2))
            gaps.append((pane, 0 if told and silent < ACCEPTED else silent))
            last, told = pane, 0
            continue
        if last is None or first is None:
            continue
        silent = pane - last
        if silent == FORGOTTEN:
            if told:
                out.append((CLOSE, pane, (silent - 1) / 2))
            first, last, told = None, None, 0
            continue
        oldest = (last - rule.history) // HOUR
        known = [length for end, length in gaps if end // HOUR >= oldest]
        if told:
            if silent == 2 * told:
                out.append((UPDATE, pane, silent / 2))
                told = silent
        elif silent >= max(rule.after, rule.times * max(known, default=0)) and (
            last - first >= rule.history and len(known) >= LEAST_PANES
        ):
            out.append((CREATE, pane, silent / 2))
            told = silent
    return out


def told(alerts: list[Alert]) -> list[tuple[int, int, float]]:
    return [(a.activity, a.time // PANE30_US - 1, a.value) for a in alerts]


GAPS = st.one_of(
    st.integers(1, 2), st.integers(1, 2), st.integers(1, 40), st.sampled_from([61, 200, 800, 5000, 30_000])
)


@settings(max_examples=200, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(1, 90), GAPS), min_size=1, max_size=8),
    steps=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    times=st.sampled_from([1.0, 2.5, 3.0]),
)
def test_a_silence_is_its_definition_however_the_time_moves(
    runs: list[tuple[int, int]], steps: list[int], times: float
) -> None:
    rule = RULE._replace(times=times)
    spoken, at = set[int](), FIRST
    for length, gap in runs:
        spoken |= set(range(at, at + length))
        at += length + gap
    model = Silence([rule])
    alerts: list[Alert] = []
    left, until, turn = sorted(spoken), FIRST, 0
    while left:
        until = max(until + steps[turn % len(steps)], left[0] - 50)
        turn += 1
        heard = [pane for pane in left if pane < until + 3]  # some of them not final yet, and out of order
        left = left[len(heard) :]
        for pane in reversed(heard):
            model.hear("a", "", "a", (pane,))
        alerts += model.close(until, 0)
    final = max(until, at) + 1
    alerts += model.close(final, 0)
    expected = silences(spoken, final, rule)
    assert told(alerts) == expected
    assert len({a.uid for a in alerts}) == sum(activity == CREATE for activity, _, _ in expected)


def test_at_the_limit_and_one_pane_below() -> None:
    for gap, fires in ((RULE.after - 1, False), (RULE.after, True)):
        model = Silence([RULE])
        spoken = range(FIRST, FIRST + 100)
        model.hear("a", "", "a", [*spoken, FIRST + 100 + gap])
        found = told(model.close(FIRST + 101 + gap, 0))
        assert bool(found) == fires
    assert found[0] == (CREATE, FIRST + 99 + RULE.after, 5.0)


def test_a_made_up_crowd_does_not_push_out_who_is_watched() -> None:
    model = Silence([RULE])
    model.hear("real", "", "real", range(FIRST, FIRST + 100))
    for number in range(10_000):
        model.hear(number, "t", "t", (FIRST + 99,))
    assert len(model.speakers) == 4096
    assert "real" in {a.entity for a in model.close(FIRST + 200, 0)}


def test_at_the_end_of_the_input_nobody_falls_silent_and_open_ones_close() -> None:
    model = Silence([RULE])
    model.hear("a", "", "a", range(FIRST, FIRST + 100))
    model.hear("b", "", "b", range(FIRST, FIRST + 130))
    found = model.end(FIRST + 130, 0)
    assert [(a.entity, a.activity) for a in found] == [("a", CREATE), ("a", UPDATE), ("a", CLOSE)]
    assert not model.speakers


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(1, 400))
def test_a_snapshot_changes_nothing(cut: int) -> None:
    rules = (SourceSilence(id="s", after="2m", times=2.0, history="15m"),)
    spoken = [*range(FIRST, FIRST + 100), *range(FIRST + 150, FIRST + 200)]

    def play(reopen: bool) -> list[Any]:
        sources, out = Sources(rules, 0), []
        for step in range(400):
            pane = FIRST + step
            if pane in spoken:
                sources.sources.hear("a", "", "a", (pane,))
            out += sources.close(pane * PANE30_US, 0)
            if reopen and step == cut:
                saved = msgspec.msgpack.decode(msgspec.msgpack.encode(sources.snapshot()))
                sources = Sources(rules, 0)
                sources.restore(saved)
        return out

    assert play(True) == play(False)
    assert sum(a.activity == CREATE for a in play(False)) == 2
