"""Aggregates: the same whatever the pieces, bounded, without people in them; and what a page makes of them."""

import json
import math
import random
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.insights.aggregate import READ, TAKEN, accumulate, place
from flows.insights.counted import DAY, Counted
from flows.insights.page import page
from flows.insights.rows import KEYS, OTHER, ROWS, SKETCH, bounded, merged
from flows.insights.sketch import packed, union, unpacked
from flows.insights.summary import summary
from flows.trail.insights import known_days, read, table_of
from flows.trail.keys import KeyStore
from flows.trail.store import Store, StoredFile
from tests.command import command, simulate

MONDAY = 1_793_577_600_000_000  # 2026-11-02
_TYPES = {"time": pa.timestamp("us", "UTC"), "status": pa.int16(), "latency_ms": pa.float64()}
_TYPES |= {name: pa.binary(16) for name in ("user_id", "actor_id", "ip_token")}


def hide(tenant: str, name: str) -> tuple[str, bytes]:
    return f"token of {name}", name.encode()


def table(events: list[dict[str, Any]]) -> pa.Table:
    """Events as rows of the trail with what is read of their messages."""
    rows = [{"tree": "acme", "tenant": "acme", "time": MONDAY, "outcome": "success"} | event for event in events]
    for row in rows:
        row["day"] = datetime.fromtimestamp(row["time"] / 1e6, UTC).date().isoformat()
    names = (*TAKEN, *READ)
    return pa.table({name: pa.array([row.get(name) for row in rows], _TYPES.get(name, pa.string())) for name in names})


def who(number: int) -> bytes:
    return random.Random(number).randbytes(16)


events = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.sampled_from([MONDAY, MONDAY + 5_000_000, MONDAY + DAY]),
            "tenant": st.sampled_from(["acme", "globex"]),
            "action": st.sampled_from(["login", "register", "mfa_challenge", "password_reset_request", "api_call"]),
            "outcome": st.sampled_from(["success", "failure", "blocked", "challenge"]),
        },
        optional={
            "country": st.sampled_from(["CH", "NL"]),
            "city": st.sampled_from([place("Basel", "CH", 47.56, 7.59), place("Gent", "BE", math.nan, math.nan)]),
            "endpoint": st.sampled_from(["/login", "/users/{id}"]),
            "method": st.sampled_from(["GET", "POST"]),
            "status": st.sampled_from([200, 404, 500]),
            "latency_ms": st.floats(0, 1e9),
            "user_id": st.integers(1, 9).map(who),
            "actor_id": st.integers(10, 12).map(who),
            "ip_token": st.integers(20, 24).map(who),
            "app": st.sampled_from(["web", "ios"]),
            "device": st.sampled_from(["iPhone", "Pixel 8"]),
        },
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=15)
@given(events, st.lists(st.integers(0, 40), max_size=4), st.randoms())
def test_pieces_in_any_order_add_up_to_the_whole(
    given_events: list[dict[str, Any]], cuts: list[int], luck: random.Random
) -> None:
    whole = accumulate(table(given_events), hide)
    shuffled = luck.sample(given_events, len(given_events))
    ends = [0, *sorted(min(cut, len(shuffled)) for cut in cuts), len(shuffled)]
    parts = [accumulate(table(shuffled[a:b]), hide) for a, b in pairwise(ends) if b > a]
    luck.shuffle(parts)
    nested = merged(pa.concat_tables([merged(pa.concat_tables(parts[:2])), *parts[2:]]))
    assert nested.equals(merged(whole))
    assert merged(pa.concat_tables(parts)).equals(nested)


@settings(deadline=None, max_examples=15)
@given(events)
def test_sums_are_those_of_counting_one_by_one(given_events: list[dict[str, Any]]) -> None:
    rows = accumulate(table(given_events), hide).to_pylist()
    for measure, wanted in {
        "hourly": Counter((one["tenant"], one["action"], one["outcome"]) for one in given_events),
        "country": Counter(
            (one["tenant"], one.get("country", "unknown"), "") for one in given_events if one["action"] == "login"
        ),
    }.items():
        found: Counter[tuple[str, str, str]] = Counter()
        for row in rows:
            if row["measure"] == measure:
                found[row["tenant"], row["key"], row["part"]] += row["count"]
        assert found == wanted
    people = {
        (one.get("actor_id") or one["user_id"])[:8]
        for one in given_events
        if one["outcome"] == "success" and (one.get("actor_id") or one.get("user_id"))
    }
    active = union((row["users"] for row in rows if row["measure"] == "active"), SKETCH["active"])
    assert {np.uint64(id_).tobytes() for id_ in unpacked(active)} == people


@given(st.lists(st.lists(st.integers(1, 2**64 - 1)), max_size=6), st.integers(1, 9))
def test_a_sketch_of_sketches_is_that_of_all(sets: list[list[int]], most: int) -> None:
    parts = [packed(np.array(some, np.uint64), most) for some in sets]
    whole = sorted({one for some in sets for one in some})[:most]
    assert unpacked(union(parts, most)).tolist() == whole
    assert unpacked(union([union(parts[:3], most), union(parts[3:], most)], most)).tolist() == whole


def test_names_without_end_take_bounded_room_and_lose_no_count() -> None:
    flood = [{"action": "api_call", "app": f"app{at}", "app_version": str(at)} for at in range(5 * KEYS)]
    flood += [{"action": "api_call", "app": "web", "app_version": "1"}] * 3
    rows = [row for row in accumulate(table(flood), hide).to_pylist() if row["measure"] == "app"]
    assert len(rows) == KEYS + 1
    assert sum(row["count"] for row in rows) == len(flood)
    assert {row["key"]: row["count"] for row in rows}["web\x1f1"] == 3
    assert {row["key"]: row["count"] for row in rows}[OTHER] == len(flood) - 3 - (KEYS - 1)
    again = bounded(accumulate(table(flood), hide))
    assert again.equals(bounded(again))


def test_a_city_of_four_users_is_other_and_of_five_is_named() -> None:
    basel, gent = place("Basel", "CH", 47.5, 7.5), place("Gent", "BE", 51.0, 3.7)
    visits = [{"action": "login", "city": basel, "user_id": who(at)} for at in range(5)]
    visits += [{"action": "login", "city": gent, "user_id": who(at % 4)} for at in range(40)]
    rows = merged(pa.concat_tables([accumulate(table([one]), hide) for one in visits]))
    names = {f"token of {name}": name for name in (basel, gent)}
    found = Counted(rows, names, MONDAY, MONDAY + DAY).anonymous("city")
    assert {name: one.total for name, one in found.items()} == {basel: 5, OTHER: 40}
    told = page(summary(Counted(rows, names, MONDAY, MONDAY + DAY), None))
    assert "Basel" in told
    assert "Gent" not in told


def resets(addresses: int, completed: int) -> list[str]:
    """The findings where 200 users ask for a reset from so many addresses, and some complete it."""
    made: list[dict[str, Any]] = [
        {"action": "login", "user_id": who(at), "ip_token": who(1000 + at)} for at in range(400)
    ]
    made += [
        {"action": "password_reset_request", "user_id": who(at), "ip_token": who(2000 + at % addresses)}
        for at in range(200)
    ]
    made += [{"action": "password_reset", "user_id": who(at), "ip_token": who(3000 + at)} for at in range(completed)]
    report = summary(Counted(accumulate(table(made), hide), {}, MONDAY, MONDAY + DAY), None)
    return [one.id for one in report.findings if one.id.startswith("resets")]


def test_many_resets_mean_forgotten_passwords_or_an_attack() -> None:
    assert resets(addresses=150, completed=20) == ["resets_forgotten"]
    assert resets(addresses=150, completed=190) == ["resets_many"]
    assert resets(addresses=2, completed=20) == ["resets_attack"]


def test_a_day_far_above_the_others_is_told() -> None:
    days = [2, 3, 2, 50, 1, 2, 3]
    made = [
        {"action": "account_delete", "time": MONDAY + at * DAY} for at, count in enumerate(days) for _ in range(count)
    ]
    told = summary(Counted(accumulate(table(made), hide), {}, MONDAY, MONDAY + 7 * DAY), None).findings
    assert [one.text for one in told if one.id == "spike_deletions"] == [
        "Accounts deleted on 2026-11-05: 50 (37 to 65 by chance), where the median day has 2."
    ]


def test_engagement_counts_people_and_who_came_again() -> None:
    weeks = [(0, range(40)), (1, range(10)), (1, range(40, 60))]
    made = [
        {"action": "login", "time": MONDAY + week * 7 * DAY, "user_id": who(at)} for week, some in weeks for at in some
    ]
    unfinished = summary(Counted(accumulate(table(made), hide), {}, MONDAY, MONDAY + 14 * DAY), "acme")
    made.append({"action": "login", "time": MONDAY + 13 * DAY, "user_id": who(45)})
    report = summary(Counted(accumulate(table(made), hide), {}, MONDAY, MONDAY + 14 * DAY), "acme")
    charts = {chart.id: chart for chart in report.charts}
    active = charts["active"].rows
    assert [active[0], active[7]] == [["2026-11-02", 40, 40, 0], ["2026-11-09", 30, 20, 10]]
    assert active[1:7] == [[f"2026-11-0{at}", 0, 0, 0] for at in range(3, 9)]
    assert {chart.id: chart for chart in unfinished.charts}["cohorts"].rows[0] == ["2026-11-02", 40, None]
    assert charts["cohorts"].rows == [["2026-11-02", 40, 0.25], ["2026-11-09", 20, None]]
    assert charts["logins"].rows[7] == ["2026-11-09", 30, 40]


def test_what_an_attacker_names_is_text_on_the_page() -> None:
    evil = "<script>alert(1)</script>\x1b[2J\x1f"
    made = [{"action": "login", "country": evil, "app": evil, "endpoint": f"/{evil}", "latency_ms": 1.0,
             "city": place(evil, evil, 1e300, 0.0), "user_id": who(at)} for at in range(30)]  # fmt: skip
    rows = accumulate(table(made), hide)
    names = {key: key.removeprefix("token of ") for key in rows["key"].to_pylist() if key.startswith("token of")}
    told = page(summary(Counted(rows, names, MONDAY, MONDAY + DAY), evil))
    assert "<script" not in told
    assert "\x1b" not in told
    assert "&lt;script&gt;" in told


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of events, archived in two runs; the second goes on in the same file."""
    folder = tmp_path_factory.mktemp("trail")
    lines = simulate(folder / "whole.ndjson", 3_000, 3).read_bytes().splitlines(keepends=True)
    for part in (lines[:2_000], lines):
        (folder / "events.ndjson").write_bytes(b"".join(part))
        code, _, said = archived(folder)
        assert code == 0, said
    return folder


def archived(folder: Path) -> tuple[int, str, list[str]]:
    return command(
        "archive", "--input", folder / "events.ndjson", "--trail", folder / "trail", "--keys", folder / "keys"
    )


def rows_of(folder: Path) -> tuple[pa.Table, dict[str, str]]:
    with KeyStore.open(folder / "keys") as keys:
        store = Store.open(str(folder / "trail"), "insights")
        _, names = read(store, keys, tenant=None, start=0, end=4 * 10**15)
        rows = [table_of(store, *day) for day in {(file.tree, file.day) for file in store.files()}]
    return merged(pa.concat_tables(rows)), dict(names)


def test_each_event_is_counted_once_over_runs_and_again_committed_epochs(trail: Path) -> None:
    rows, names = rows_of(trail)
    lines = [json.loads(line) for line in (trail / "events.ndjson").read_bytes().splitlines()]
    hourly = [row for row in rows.to_pylist() if row["measure"] == "hourly"]
    found: Counter[str] = Counter()
    for row in hourly:
        found[row["key"]] += row["count"]
    assert found == Counter(line["action"] for line in lines if "action" in line)
    assert {name.split("\x1f")[0] for name in names.values()} <= {line.get("city") for line in lines}
    assert archived(trail)[0] == 0
    assert rows_of(trail)[0].equals(rows)


def test_aggregates_hold_no_name_of_a_person_or_city(trail: Path) -> None:
    rows, _ = rows_of(trail)
    kept = b"\n".join(
        [b"".join(one or b"" for one in rows[name].to_pylist()) for name in ("users", "name")]
        + ["\n".join(rows["key"].to_pylist()).encode()]
    )
    lines = [json.loads(line) for line in (trail / "events.ndjson").read_bytes().splitlines()]
    for member in ("username", "user", "ip", "session", "city"):
        for value in {str(line[member]) for line in lines if member in line}:
            assert value.encode() not in kept, value


def test_what_was_counted_but_not_committed_with_its_events_is_counted_once(trail: Path, tmp_path: Path) -> None:
    """As after a crash between the two commits: the events come again, their counts are there already."""
    lines = (trail / "events.ndjson").read_bytes().splitlines(keepends=True)
    (tmp_path / "events.ndjson").write_bytes(b"".join(lines[:500]))
    assert archived(tmp_path)[0] == 0
    for kind in ("events", "checkpoints"):
        (tmp_path / "trail" / kind).rename(tmp_path / f"gone-{kind}")
    (tmp_path / "events.ndjson").write_bytes(b"".join(lines[:700]))
    assert archived(tmp_path)[0] == 0
    rows = rows_of(tmp_path)[0].to_pylist()
    assert sum(row["count"] for row in rows if row["measure"] == "hourly") == 700


def test_the_command_writes_a_page_and_json(trail: Path, tmp_path: Path) -> None:
    where = ("--trail", trail / "trail", "--keys", trail / "keys")
    code, out, said = command("insights", *where, "--output", tmp_path / "r.html", "--json")
    assert code == 0, said
    report = json.loads(out)
    assert {"logins", "week", "cities", "countries", "versions", "slowest", "active"} <= {
        chart["id"] for chart in report["charts"]
    }
    told = (tmp_path / "r.html").read_text()
    assert all(f"<h3>{chart['title']}</h3>" in told for chart in report["charts"])
    assert told.count("<details>") == len(report["charts"])
    code, out, _ = command("insights", *where, "--json", "--tenant", "acme")
    assert code == 0
    assert 0 < json.loads(out)["events"] < report["events"]


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (
            ("--json", "--from", "2019-01-01", "--to", "2019-02-01"),
            1,
            "no events from 2019-01-01 to 2019-02-01; it has",
        ),
        (("--json", "--tenant", "nobody\x1b[2J"), 1, "no events of tenant nobody?[2J from"),
        (
            ("--json", "--from", "2026-02-01", "--to", "2026-01-01"),
            2,
            "--from 2026-02-01 is not before --to 2026-01-01",
        ),
        (("--json", "--from", "soon"), 2, "--from: Expected a date"),
        ((), 2, "say where the page goes"),
        (("--output", "/nowhere/r.html"), 1, "/nowhere/r.html: cannot be written"),
    ],
)
def test_dead_ends_are_one_line(trail: Path, given: tuple[str, ...], code: int, told: str) -> None:
    found, _, said = command("insights", "--trail", trail / "trail", "--keys", trail / "keys", *given)
    assert found == code, said
    assert len(said) == 1
    assert told in said[0]


def test_no_trail_and_other_keys_are_one_line(trail: Path, tmp_path: Path) -> None:
    code, _, said = command("insights", "--trail", tmp_path / "none", "--keys", trail / "keys", "--json")
    assert (code, len(said)) == (1, 1)
    assert "no such table; `lapwing archive` makes it" in said[0]
    KeyStore.open(tmp_path / "keys", create=True).close()
    code, _, said = command("insights", "--trail", trail / "trail", "--keys", tmp_path / "keys", "--json")
    assert (code, len(said)) == (1, 1)
    assert "was sealed with other keys" in said[0]


def test_a_wrong_clock_does_not_move_the_range() -> None:
    files = [StoredFile("acme", day, "", rows, 0, 0, 0) for day, rows in (
        ("2000-01-01", 8), ("2026-11-02", 3_000), ("2026-11-03", 60), ("2099-01-01", 8))]  # fmt: skip
    assert known_days(files) == (MONDAY, MONDAY + DAY)


def test_an_empty_set_of_events_has_no_rows() -> None:
    assert accumulate(table([]), hide).schema == ROWS
    assert merged(ROWS.empty_table()).num_rows == 0
