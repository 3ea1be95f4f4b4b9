"""Hours of the week: what is expected at an hour is its definition, and a week that repeats itself alarms nobody."""

import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from flows.config import load
from flows.parts import shard_settings
from models.base import DIMENSIONS
from models.detectors.ewma import EwmaParams
from models.kernels.layout import COUNTERS, HOURS
from models.rules import TrafficSpike, program
from models.windows.saved import snapshot, without_positions
from models.windows.shard import Shard
from tests.batches import assess, partition_batches, row
from tests.naive import Message, Params, Row, Window
from tests.streams import SECOND, Setup
from tests.test_definitions import LATENESS, message_of, shard_of, windows_of

MONDAY = 1_794_787_200  # 2026-11-16T00:00Z
MINUTE, HOUR, DAY = 60, 3600, 86_400
ATTACK = 10
AT = DIMENSIONS.index("endpoint")
SPIKE = TrafficSpike(dimension="endpoint", at_least=20, severity="high")
SETUP = Setup((SPIKE,), (600 * SECOND,), Params(0.01, 0.001, 200, 10, 0.999, 180, 20, 5), 7 * 1440)
Rate = Callable[[int], float]
"""Events in the minute that begins at a time (seconds)."""


def stream(rates: dict[str, Rate], begin: int, end: int, seed: int = 1) -> list[Row]:
    draw = random.Random(seed)
    rows = []
    for time in range(begin, end, MINUTE):
        for name, rate in rates.items():
            n = rate(time)
            count = int(n) + (draw.random() < n % 1)
            rows += [row(time * SECOND + draw.randrange(60 * SECOND), endpoint=name) for _ in range(count)]
    return sorted(rows, key=lambda r: r.time)


def clock(time: int) -> float:
    return time % DAY / HOUR


def office(time: int) -> float:
    """Two a minute at night and at weekends, 24 from nine to five: the step at nine is within a minute."""
    return 24.0 if 9 <= clock(time) < 17 and time // DAY % 7 not in (2, 3) else 2.0


def batch(time: int) -> float:
    """Nothing but a job at 3 a.m."""
    return 25.0 if 3 <= clock(time) < 4 else 0.0


def play(rows: list[Row], shard: Shard) -> tuple[list[Window], list[Message]]:
    windows: list[Window] = []
    messages: list[Message] = []
    for item in partition_batches("p", ("p",), rows, LATENESS, [2000]):
        out = assess(shard, item, AT)
        windows += windows_of(out.windows)
        messages += [message_of(finding.alert) for finding in out.findings]
    return windows, messages


class Expected:
    """The expected events of one entity by their definition, minute by minute, from all that its windows showed."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.mean, self.age, self.learned = 0.0, 0, 0
        self.kept_from: int | None = None
        self.minutes: dict[int, float] = {}
        self.week: dict[int, list[float]] = defaultdict(list)
        self.day: dict[int, list[float]] = defaultdict(list)
        self.seen: float | None = None

    def hour(self, hour: int) -> float | None:
        for means, slot in ((self.week, hour % 168), (self.day, hour % 24)):
            if len(means[slot]) >= 2:
                return sorted(means[slot][-4:])[-2]
        return None

    def at(self, minute: int) -> float:
        here = self.hour(minute // 60)
        if here is None or self.seen is None:
            return self.mean
        later = minute % 60 >= 30
        beside = self.hour(minute // 60 + (1 if later else -1))
        if beside is not None and beside > here:
            here += abs(minute % 60 - 30) / 60 * (beside - here)
        return max(self.mean, here * min((self.mean + 1 / 12) / (self.seen + 1 / 12), 4))

    def close(self, minute: int, events: float, guarded: bool) -> None:
        """The minute is over, and with it perhaps its hour."""
        if events and not guarded:
            self.learned += 1
            if self.kept_from is None and self.learned >= 60:
                self.kept_from = minute
        if self.age or (events and not guarded):
            self.age += 1
        if self.age and not guarded:
            self.mean += max(self.alpha, 1 / self.age) * (events - self.mean)
        self.minutes[minute] = events
        if self.kept_from is None:
            return
        usual = self.hour(minute // 60)
        if usual is not None and not guarded:
            self.seen = usual if self.seen is None else self.seen + self.alpha * (usual - self.seen)
        if minute % 60 == 59:
            counted = range(max(minute - 59, self.kept_from), minute + 1)
            if len(counted) >= 30:
                mean = sum(self.minutes.get(m, 0.0) for m in counted) / len(counted)
                self.week[minute // 60 % 168].append(mean)
                self.day[minute // 60 % 24].append(mean)


@pytest.fixture(scope="module")
def weeks() -> list[Row]:
    """Two weeks, a Monday and a morning; on the second Thursday something goes on from 8 p.m. to midnight."""
    attack = MONDAY + ATTACK * DAY + 20 * HOUR

    def busy(time: int) -> float:
        return 45.0 if attack <= time < attack + 4 * HOUR else office(time)

    return stream({"/office": busy, "/batch": batch}, MONDAY, MONDAY + 15 * DAY + 12 * HOUR)


@pytest.fixture(scope="module")
def told(weeks: list[Row]) -> tuple[list[Window], list[Message]]:
    return play(weeks, shard_of("endpoint", SETUP, max_hours=8))


def moments(messages: list[Message], endpoint: str) -> list[tuple[int, float]]:
    """Day and hour of the incidents' creates."""
    found = [m for m in messages if m.activity == 1 and m.entity == endpoint]
    return [((m.time // SECOND - MONDAY) // DAY, clock(m.time // SECOND)) for m in found]


def test_what_is_expected_is_its_definition(told: tuple[list[Window], list[Message]]) -> None:
    by_entity: dict[str, dict[int, Window]] = defaultdict(dict)
    for window in told[0]:
        by_entity[window.entity][window.end // SECOND // MINUTE - 1] = window
    compared = 0
    for found in by_entity.values():
        expected = Expected(0.01)
        for minute in range(MONDAY // MINUTE, max(found) + 1):
            window = found.get(minute)
            if window is not None and window.expected == window.expected and expected.learned >= 10:
                assert window.expected == pytest.approx(expected.at(minute), rel=1e-3), (window.entity, minute)
                compared += 1
            expected.close(minute, window.observed if window else 0.0, bool(window and window.guarded))
    assert compared > 12_000
    assert sum(window.guarded for window in told[0]) > 100


def test_a_week_that_repeats_itself_is_expected(told: tuple[list[Window], list[Message]], weeks: list[Row]) -> None:
    windows, plain = play(weeks, shard_of("endpoint", SETUP))
    mornings = moments(plain, "/office")
    assert {7, 8, 9, 10, 14, 15} <= {day for day, hour in mornings if int(hour) == 9}, "each with an attack"
    assert not {day for day, hour in mornings if day == ATTACK and hour >= 17}, "and the real one hides behind the day"
    known = moments(told[1], "/office")
    assert [(day, int(hour)) for day, hour in known if day >= 2] == [(ATTACK, 20)], "two days are learned"
    assert {day for day, _ in moments(told[1], "/batch")} <= {0}
    for shown, low, high in ((told[0], 20.0, 30.0), (windows, 0.0, 1.0)):
        begun = {w.end // SECOND - MINUTE: w.expected for w in shown if w.entity == "/batch"}
        nights = [begun[MONDAY + day * DAY + 3 * HOUR] for day in range(3, 15)]
        assert low <= min(nights) <= max(nights) <= high, "what is expected in the first minute of the job"


def test_what_is_guarded_is_learned_after_accept_after_and_from_then_on(
    told: tuple[list[Window], list[Message]],
) -> None:
    attack = MONDAY // MINUTE + ATTACK * 1440 + 20 * 60
    guarded = [w.end // SECOND // MINUTE - 1 - attack for w in told[0] if w.guarded and w.entity == "/office"]
    assert {*range(5, 175)} <= {*guarded}, "three hours of it teach nothing"
    assert not {*range(185, 240)} & {*guarded}, "then it is normal, minute by minute"


def test_state_goes_on_with_the_hours(weeks: list[Row], told: tuple[list[Window], list[Message]]) -> None:
    shard = shard_of("endpoint", SETUP, max_hours=8)
    windows: list[Window] = []
    for number, item in enumerate(partition_batches("p", ("p",), weeks, LATENESS, [2000])):
        if number % 40 == 39:
            shard = shard_of("endpoint", SETUP, secret=number, state=snapshot(shard), max_hours=8)
        windows += windows_of(assess(shard, item, AT).windows)
    assert windows == told[0] or str(windows) == str(told[0])
    assert shard.s.head[HOURS] == 2
    fewer = shard_of("endpoint", SETUP, secret=7, state=snapshot(shard), max_hours=1)
    assert fewer.s.head[HOURS] == 1
    assert sorted(fewer.s.records["hours"][fewer.s.records["hash"] != 0].tolist()) == [-1, 0]


def test_an_entity_that_comes_in_bursts_is_not_strange_when_its_hours_become_known() -> None:
    """Two days show what its hours are; how far it strays from them is not known yet, but how it strayed before is."""
    bursts = random.Random(5)
    rates: dict[str, Rate] = {"/bursty": lambda _: 40.0 if bursts.random() < 0.1 else 0.0, "/even": lambda _: 8.0}
    shard = shard_of("endpoint", SETUP, max_hours=8)
    known = (MONDAY + 2 * DAY) // MINUTE
    windows, _ = play(stream(rates, MONDAY, MONDAY + 3 * DAY + 12 * HOUR), shard)
    begun = [w for w in windows if w.entity == "/bursty" and w.end // SECOND // MINUTE > known]
    assert len(begun) > 150
    assert max(w.observed for w in begun) == 40.0
    assert not [w for w in begun if w.guarded]
    assert max(w.score for w in begun) < 4.0
    spread = {hours["spread"] for hours in shard.s.hours if hours["owner"]}
    assert max(spread) > 10.0, "and it goes on from there"


def test_silence_of_more_than_a_day_is_not_learned() -> None:
    shard = shard_of("endpoint", SETUP, max_hours=8)
    day, gap = MONDAY + 2 * DAY, 30 * HOUR
    play_on = [*stream({"/a": lambda _: 2.0}, MONDAY, day), *stream({"/a": lambda _: 2.0}, day + gap, day + gap + DAY)]
    play(play_on, shard)
    hours = shard.s.hours[0]
    assert hours["day"][hours["days"] > 1, :2].min() == pytest.approx(2.0)
    assert sum(hours["days"]) == 24 * 3 - 1, "all but the first hour, which was not whole"
    short = shard_of("endpoint", SETUP, max_hours=8)
    gap = 10 * HOUR
    play(
        [*stream({"/a": lambda _: 2.0}, MONDAY, day), *stream({"/a": lambda _: 2.0}, day + gap, day + gap + DAY)], short
    )
    assert short.s.hours[0]["day"].min() == 0.0


def test_who_comes_when_there_is_no_room_has_no_hours_until_others_are_gone() -> None:
    names = [f"/{at}" for at in range(12)]
    shard = shard_of("endpoint", SETUP, max_hours=8, max_records=1024)
    rates: dict[str, Rate] = {name: lambda _: 1.0 for name in names}
    play(stream(rates, MONDAY, MONDAY + 2 * HOUR), shard)
    used = shard.s.records["hours"][shard.s.records["hash"] != 0]
    assert sorted(used.tolist()) == [-1, -1, -1, -1, *range(8)]
    for day in (1, 2, 3):
        others: dict[str, Rate] = {f"/{day}/{at}": lambda _: 1.0 for at in range(500)}
        state = without_positions(snapshot(shard))
        shard = shard_of("endpoint", SETUP, state=state, max_hours=8, max_records=1024)
        play(stream(others, MONDAY + day * DAY, MONDAY + day * DAY + 90 * MINUTE), shard)
    owners = {int(owner) for owner in shard.s.hours["owner"]}
    known = {int(hash) for hash in shard.s.records["hash"]}
    assert sum(int(shard.s.head[place]) for place in COUNTERS["evicted"]) > 0
    assert owners <= known | {0}, "nobody's hours are kept whose entity is gone"
    assert len(owners - {0}) == 8


def test_it_can_be_turned_off() -> None:
    config = load()
    assert shard_settings(config, "endpoint", program(config.detection)).max_hours > 0
    assert shard_settings(config, "user", program(config.detection)).max_hours == 0
    detectors = tuple(EwmaParams(season=False) if isinstance(one, EwmaParams) else one for one in config.detector)
    off = config.__class__(
        **{name: getattr(config, name) for name in config.__struct_fields__} | {"detector": detectors}
    )
    assert shard_settings(off, "endpoint", program(config.detection)).max_hours == 0
