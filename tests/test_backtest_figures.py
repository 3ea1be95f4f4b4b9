"""A backtest's figures beside incidents made by hand, and its page beside names made by an attacker."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pytest
from rich.console import Console

from flows.backtest import figures, judged, labels, told
from flows.backtest.figures import Span
from flows.backtest.page import page
from flows.backtest.report import Cut, Moved, Range, Report
from flows.backtest.text import render
from flows.commands.moments import minute
from flows.errors import Refused, UsageError
from flows.formats.truth import Truth
from flows.intervals import median_interval, wilson
from flows.verdicts import Verdict, Word

DAY = told.DAY_MS
START = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp() * 1000)
SPAN = Span(START, START + 5 * DAY)
MINUTE, HOUR = 60_000, 3_600_000


def life(
    name: str,
    crossed: int,
    *,
    detection: str = "brute_force_ip",
    entity: str = "192.0.2.1",
    lasts: int = 5 * MINUTE,
    closes: bool = True,
    **more: Any,
) -> list[dict[str, Any]]:
    """The create, an update and the close of an incident that crossed so many ms after the start."""
    at = START + crossed
    end = at + lasts

    def message(time: int, activity: int, upto: int) -> dict[str, Any]:
        return {
            "time": time, "activity_id": activity, "severity_id": more.get("severity", 3),
            "message": f"{name} {activity}",
            "start_time": at - MINUTE, "end_time": upto,
            "finding_info": {"uid": name, "first_seen_time": at - more.get("delay", 30_000)},
            "metadata": {"tenant_uid": "acme", "correlation_uid": more.get("attack", name)},
            "unmapped": {"detection": detection, "dimension": "ip", "entity": entity, "digest": more.get("digest")},
            "evidences": [{"uid": one} for one in more.get("events", ())],
            "status_detail": more.get("status_detail", ""),
        }  # fmt: skip

    out = [message(at, 1, at), message(end, 2, end)]
    return out + ([message(end + 10 * MINUTE, 3, end)] if closes else [])


def read(folder: Path, lives: Sequence[list[dict[str, Any]]], until: int = SPAN.end) -> list[told.Told]:
    lines = [json.dumps(message) for one in lives for message in one]
    (folder / told.ALERTS).write_text("\n".join([*lines, ""]))
    return told.incidents(folder, until)


def side(incidents: Sequence[told.Told], span: Span = SPAN) -> figures.Side:
    return figures.side("new.toml", "00", incidents, span, {span.start // MINUTE: 7}, {})


def test_days_without_incidents_count_as_nothing(tmp_path: Path) -> None:
    """Four on the first day and one on the last, of five: by day 4, 0, 0, 0, 1."""
    first = [life(f"a{i}", HOUR * (i + 1), entity=f"192.0.2.{i}", attack="a0") for i in range(4)]
    found = side(read(tmp_path, [*first, life("b", 4 * DAY + HOUR, detection="spray", severity=4)]))
    assert (found.incidents.total, found.incidents.median, found.incidents.p95) == (5, 0.0, 4.0)
    rates = {(one.detection, one.severity): (one.total, one.median, one.p95) for one in found.rates}
    assert rates == {("brute_force_ip", "medium"): (4, 0.0, 4.0), ("spray", "high"): (1, 0.0, 1.0)}
    assert (found.entries.total, found.entries.p95) == (2, 1.0)
    assert [(day.date, day.incidents, day.events) for day in found.by_day] == [
        ("2026-11-02", {"medium": 4}, 7), ("2026-11-03", {}, 0), ("2026-11-04", {}, 0), ("2026-11-05", {}, 0),
        ("2026-11-06", {"high": 1}, 0),
    ]  # fmt: skip


def test_a_pane_that_ends_at_midnight_is_of_the_day_before(tmp_path: Path) -> None:
    found = side(read(tmp_path, [life("a", DAY), life("b", DAY + 5_000, entity="b")]))
    assert [sum(day.incidents.values()) for day in found.by_day] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("begins", "ends", "rate"),
    [(0, 5 * DAY, (4, 1.0, 2.0)), (HOUR, 4 * DAY, (3, 1.0, 1.0)), (2 * HOUR, 2 * DAY - HOUR, (2, 1.0, 1.0))],
)
def test_parts_of_days_count_in_medians_only_where_no_day_is_whole(
    tmp_path: Path, begins: int, ends: int, rate: tuple[int, float, float]
) -> None:
    """Two on the first day, of which one in its first hour, one each on the second and third."""
    lives = [life(f"{at}", at, entity=f"{at}") for at in (MINUTE, 3 * HOUR, DAY + HOUR, 2 * DAY + HOUR)]
    span = Span(START + begins, START + ends)
    found = side(read(tmp_path, lives), span).incidents
    assert (found.total, found.median, found.p95) == rate


def test_the_noisiest_and_the_delay(tmp_path: Path) -> None:
    lives = [
        life(f"{entity}-{i}", HOUR + i * HOUR, entity=f"192.0.2.{entity}", delay=1000 * (10 * entity + i))
        for entity in range(1, 8)
        for i in range(entity)
    ]
    found = side(read(tmp_path, lives))
    assert [(one.entity, one.incidents) for one in found.entities] == [(f"192.0.2.{n}", n) for n in range(7, 0, -1)]
    assert (found.noisiest_five.count, found.noisiest_five.of) == (7 + 6 + 5 + 4 + 3, 28)
    seconds = sorted(10.0 * entity + i for entity in range(1, 8) for i in range(entity))
    (delay,) = found.delay
    assert (delay.incidents, delay.median, delay.p95) == (28, median(seconds), seconds[26])


def test_what_the_range_does_not_show_whole_is_cut(tmp_path: Path) -> None:
    lives = [
        life("over", -HOUR, entity="a"),
        life("before", -3 * MINUTE, entity="b"),
        life("early", MINUTE, entity="c"),
        life("whole", HOUR, entity="d"),
        life("after", 5 * DAY - MINUTE, entity="e"),
        life("beyond", 5 * DAY + MINUTE, entity="f"),
    ]
    known = read(tmp_path, lives)
    assert "beyond" not in {one.uid for one in known}
    span = Span(SPAN.start, SPAN.end, warm=SPAN.start + 30 * MINUTE)
    found = side(known, span)
    assert found.cut == Cut(under_way_before=1, warm_up=1, under_way_after=1)
    assert found.incidents.total == 3
    cuts = {one.uid: span.cut(one) for one in known}
    assert {name: cuts[name] for name in ("before", "early", "whole", "after")} == {
        "before": "under way before", "early": "warm-up", "whole": "", "after": "under way after",
    }  # fmt: skip
    (cut,) = (one for one in known if one.uid == "after")
    assert (cut.message, cut.closed, cut.end) == ("after 1", False, SPAN.end - MINUTE)


def test_an_incident_that_was_open_when_the_run_began_is_of_before(tmp_path: Path) -> None:
    (one,) = read(tmp_path, [life("a", HOUR)[1:]])
    assert one.crossed is None
    assert figures.cut([one], SPAN) == Cut(1, 0, 0)
    assert side([one]).incidents.total == 0


def test_what_is_kept_back_is_counted_once_an_incident(tmp_path: Path) -> None:
    lives = [
        life("a", HOUR, status_detail="exception pentest"), life("b", HOUR, status_detail="exception pentest"),
        life("c", HOUR, status_detail="digest 0011"), life("d", HOUR, status_detail="digest 2233"),
        life("e", -HOUR, status_detail="digest 0011"),
    ]  # fmt: skip
    (tmp_path / told.SUPPRESSED).write_text("".join(json.dumps(m) + "\n" for one in lives for m in one))
    assert told.kept_back(tmp_path, SPAN.start, SPAN.end) == {"digest": 2, "exception pentest": 2}
    assert read(tmp_path, [life("digest", HOUR, digest=3)]) == []


def test_added_and_removed_are_by_detection_entity_and_overlapping_time(tmp_path: Path) -> None:
    new = [
        life("same", HOUR),
        life("moved", 3 * HOUR),
        life("later", 6 * HOUR),
        life("other", HOUR, detection="spray"),
        life("edge", MINUTE, entity="e"),
    ]
    old = [
        life("same", HOUR),
        life("before", 3 * HOUR - 4 * MINUTE),
        life("sooner", 5 * HOUR),
        life("entity", HOUR, entity="192.0.2.2"),
        life("under way", -MINUTE, entity="e"),
    ]
    (tmp_path / "old").mkdir()
    found = figures.change(read(tmp_path, new), read(tmp_path / "old", old), SPAN)
    assert {one.uid for one in found.examples_added} == {"later", "other"}
    assert {one.uid for one in found.examples_removed} == {"sooner", "entity"}
    assert (found.added, found.removed, found.kept) == (2, 2, 3)
    assert found.detections == (Moved("brute_force_ip", 1, 2, 3), Moved("spray", 1, 0, 0))


def attack(name: str, begin: int, entity: str, lasts: int = 5 * MINUTE, **more: Any) -> Truth:
    start, end = (figures.moment(START + at) for at in (begin, begin + lasts))
    return Truth(name, more.get("kind", "brute_force"), {"ip": [entity]}, start, end, list(more.get("events", ())))


def test_beside_labels(tmp_path: Path) -> None:
    """Three attacks whole in the range, of which two are found after 60 s and 120 s; one lies across its beginning."""
    incidents = read(
        tmp_path,
        [
            life("a", HOUR + MINUTE, entity="a"),
            life("b", 2 * HOUR + 2 * MINUTE, entity="b"),
            life("edge", MINUTE, entity="edge"),
            life("shows", 7 * HOUR, entity="page", events=("e1",)),
            life("false", 9 * HOUR, entity="z", severity=4),
        ],
    )
    truth = [
        attack("a", HOUR, "a"), attack("b", 2 * HOUR, "b"), attack("c", 3 * HOUR, "c", kind="spray", events=("e1",)),
        attack("edge", -2 * MINUTE, "edge"), attack("outside", -DAY, "a"),
    ]  # fmt: skip
    found = labels.labels(incidents, truth, SPAN)
    assert (found.recall.count, found.recall.of, found.attacks_cut) == (2, 3, 1)
    assert (found.precision.count, found.precision.of) == (4, 5)
    assert (found.recall.low, found.recall.high) == wilson(2, 3)
    assert found.times is not None
    assert (found.times.median, found.times.low, found.times.high, found.times.p95) == (90.0, 60.0, 120.0, 120.0)
    assert [(one.kind, one.recall.count, one.recall.of) for one in found.kinds] == [
        ("brute_force", 2, 2),
        ("spray", 0, 1),
    ]
    assert [one.attack for one in found.missed] == ["c"]
    assert [one.uid for one in found.false] == ["false"]


def verdict(uid: str, word: Word) -> Verdict:
    return Verdict(uid=f"{uid:0>32}", detection="brute_force_ip", verdict=word)


def test_beside_verdicts(tmp_path: Path) -> None:
    """Own verdicts, one that is taken over from the other side, one that nobody judged."""
    at = [f"{number:0>32}" for number in range(6)]
    (tmp_path / "old").mkdir()
    new = read(tmp_path, [life(uid, HOUR * k, entity=f"192.0.2.{k}") for k, uid in enumerate(at[:5], 1)])
    moved = life("a" * 32, HOUR * 5 + MINUTE, entity="192.0.2.5")
    old = read(tmp_path / "old", [moved, life("b" * 32, HOUR * 5, entity="192.0.2.9")])
    words: list[tuple[str, Word]] = [(at[0], "true"), (at[1], "false"), (at[2], "benign"), ("a" * 32, "false"),
                                     ("b" * 32, "true"), ("c" * 32, "true")]  # fmt: skip
    verdicts = {uid: verdict(uid, word) for uid, word in words}
    found = judged.judged(new, old, verdicts, SPAN)
    assert (found.precision.count, found.precision.of, found.benign, found.unjudged) == (1, 3, 1, 1)
    assert [one.uid for one in found.false] == [at[1], at[4]], "the last is the one that is kept"
    (row,) = found.detections
    assert (row.incidents, row.true, row.false, row.benign, row.unjudged) == (5, 1, 2, 1, 1)
    other = judged.judged(old, new, verdicts, SPAN)
    assert (other.precision.count, other.precision.of, other.unjudged) == (1, 2, 0)
    alone = judged.judged(new, (), verdicts, SPAN)
    assert (alone.precision.of, alone.unjudged) == (2, 2)
    judged.check("v", verdicts, [new, old], SPAN)
    with pytest.raises(Refused, match="holds no verdict"):
        judged.check("v", {}, [new, old], SPAN)
    with pytest.raises(Refused, match="none of its 6 verdicts is on an incident here"):
        judged.check("v", verdicts, [new, old], Span(SPAN.end, SPAN.end + DAY))


def test_labels_of_another_range_are_refused_and_none_at_all_are_not() -> None:
    labels.check("t", [], SPAN)
    labels.check("t", [attack("a", -MINUTE, "a")], SPAN)
    with pytest.raises(Refused, match="of another range: 2026-10-23T00:00:00Z to 2026-10-23T00:05:00Z"):
        labels.check("t", [attack("a", -10 * DAY, "a")], SPAN)


def test_intervals_are_those_of_the_books() -> None:
    """Wilson's for 0 of 10, 5 of 10, 81 of 263 (Newcombe, 1998, table I); the median's of 25 at ranks 8 and 18."""
    published = {(0, 10): (0.0, 0.2775), (5, 10): (0.2366, 0.7634), (81, 263): (0.2553, 0.3662)}
    for case, edges in published.items():
        assert wilson(*case) == pytest.approx(edges, abs=1e-4)
    assert median_interval([float(at) for at in range(1, 26)]) == (13.0, 8.0, 18.0)
    assert median_interval([4.0]) == (4.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "Expected a date or an RFC 3339 time"),
        ("2026-11-02T05:00:00", "Expected a date or an RFC 3339 time with its offset"),
        ("2026-11-02T05:00:30Z", "Expected a whole minute"),
    ],
)
def test_bounds_that_are_none(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"--to: {said}"):
        minute(text, "--to")


class _Tags(HTMLParser):
    """All tags of a page, and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _report(incidents: Sequence[told.Told], truth: Sequence[Truth], name: str) -> Report:
    about = Range(
        start="a", end="b", days=5, partial_days=0, events=7, events_before=0, first_event="a", last_event="b",
        warm_up_s=0.0, begins="stream",
    )  # fmt: skip
    found, mine = labels.labels(incidents, truth, SPAN), msgspec.structs.replace(side(incidents), config=name)
    mine = msgspec.structs.replace(mine, kept_back={f"exception {name}": 1})
    change = figures.change(incidents, [], SPAN)
    gone = figures.change([], incidents, SPAN)
    both = msgspec.structs.replace(change, examples_removed=gone.examples_removed, removed=gone.removed)
    said = judged.judged(incidents, (), {one.uid: verdict("0", "false") for one in incidents}, SPAN)
    return Report(
        input=name, range=about, notes=(name,), new=mine, old=mine, change=both, labels=found, labels_old=found,
        judged=said, judged_old=said,
    )  # fmt: skip


def test_names_that_attackers_write_are_text(tmp_path: Path) -> None:
    evil = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'\u202e\x1b[2J"
    names = {"detection": evil, "entity": evil, "attack": evil}
    plain = _report(read(tmp_path, [life("a", HOUR, entity="b")]), [attack("c", 3 * HOUR, "d")], "e")
    hostile = _report(read(tmp_path, [life(evil, HOUR, **names)]), [attack(evil, 3 * HOUR, evil, kind=evil)], evil)
    expected, found = _Tags(), _Tags()
    expected.feed(page(plain))
    text = page(hostile)
    found.feed(text)
    assert (found.tags, found.attributes) == (expected.tags, expected.attributes)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "a", "form"}
    assert not [name for name in found.attributes if name.startswith("on") or name in ("src", "href")]
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert any("<script>alert(1)</script>" in one for one in found.texts)
    assert "\u202e" not in text
    assert "\x1b" not in text
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(render(hostile))
    shown = console.export_text()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "script" in shown
