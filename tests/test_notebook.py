"""What is read of results, and the notebooks that show it."""

import ast
import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import marimo
import pyarrow.parquet as pq
import pytest

from flows import lab, query
from flows.config import load
from flows.errors import InputError, UsageError
from flows.limit_curve import LimitCurve
from models.base import DIMENSIONS
from tests.command import ROOT, lapwing
from tests.test_tune import patched


@pytest.fixture
def out(detected: Path) -> str:
    return str(detected / "out")


def test_windows_are_filtered_and_in_order(out: str) -> None:
    whole = query.windows(out)
    assert whole.num_rows == pq.read_metadata(Path(out) / "windows.parquet").num_rows
    (tenant, *_) = query.entities(out, "tenant")
    rows = query.windows(out, tenant.tenant, "tenant", tenant.entity, ["end", "observed", "detector", "feature"])
    assert rows.column_names == ["end", "observed", "detector", "feature"]
    assert 0 < rows["detector"].to_pylist().count("rates") == tenant.windows < rows.num_rows < whole.num_rows
    ends = rows["end"].to_pylist()
    assert ends == sorted(ends)
    assert query.windows(out, "nobody").num_rows == 0


def test_the_feature_names_what_was_observed(out: str) -> None:
    for row in query.windows(out, dimension="ip").to_pylist():
        if row["feature"] in row:
            assert row["observed"] == pytest.approx(row[row["feature"]])


def test_entities_are_the_busiest(out: str) -> None:
    found = query.entities(out, "ip", 5)
    assert len(found) == 5
    assert [seen.events for seen in found] == sorted((seen.events for seen in found), reverse=True)
    assert found[0].events >= max(filter(None, query.windows(out, dimension="ip")["events_1m"].to_pylist()))


def test_incidents_are_told_by_their_last_message(out: str) -> None:
    found = query.incidents(out)
    assert len({seen.uid for seen in found}) == len(found) >= 4
    assert [seen.severity for seen in found] == sorted((seen.severity for seen in found), reverse=True)
    for seen in found:
        assert seen.closed
        assert seen.messages > 1
        assert " is over: " in seen.message
        assert seen.start <= seen.first_seen < seen.crossed <= seen.end + 120_000
        assert seen.value is not None
        assert seen.limit is not None
        assert seen.value >= seen.limit
    one = found[0]
    assert one in query.incidents(out, one.tenant, one.dimension, one.entity)
    assert query.incidents(out, tenant="nobody") == []


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    def events(directory: str) -> object:
        return query.events(directory, "acme", "ip", "192.0.2.1", 0, 1)

    for read, name in (
        (query.windows, "windows.parquet"), (query.incidents, "alerts.ndjson"), (events, "scored.ndjson")
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"{name}: no such file; `lapwing detect --output"):
            read(str(tmp_path))
    (tmp_path / "windows.parquet").write_bytes(b"PAR1 not at all")
    (tmp_path / "alerts.ndjson").write_bytes(b'{"time":1}\n')
    with pytest.raises(InputError, match=r"windows\.parquet: not a table of windows"):
        query.windows(str(tmp_path))
    (tmp_path / "scored.ndjson").write_bytes(b'{"time":1}\n')
    with pytest.raises(InputError, match=r"alerts\.ndjson: line 1 is no alert"):
        query.incidents(str(tmp_path))
    with pytest.raises(InputError, match=r"scored\.ndjson: "):
        events(str(tmp_path))


def test_an_event_that_is_half_written_is_passed_over(out: str, tmp_path: Path) -> None:
    lines = (Path(out) / "scored.ndjson").read_bytes().splitlines(keepends=True)[:50]
    tenant = json.loads(lines[0])["tenant"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder, last in ((whole, b""), (cut, lines[-1][:-20])):
        folder.mkdir()
        (folder / "scored.ndjson").write_bytes(b"".join(lines[:-1]) + last)
    found = query.events(str(whole), tenant, "tenant", tenant, 0, 1 << 42)
    assert found == query.events(str(cut), tenant, "tenant", tenant, 0, 1 << 42) != []
    at = found[0]["lapwing"]["time"]
    assert query.events(str(whole), tenant, "tenant", tenant, at, at + 1) == [found[0]]
    (cut / "scored.ndjson").write_bytes(b'{"time":"2026-11-02T00:00:00Z"}\n')
    with pytest.raises(InputError, match="not one of 1 lines is a scored event"):
        query.events(str(cut), tenant, "tenant", tenant, 0, 1 << 42)


def test_an_incident_is_told_message_by_message(out: str) -> None:
    one = query.incidents(out)[0]
    told = query.told(out, one.uid)
    assert len(told) == one.messages > 1
    assert [message.seq for message in told] == [*range(len(told))]
    assert told[0].activity == "Create"
    assert told[-1].activity == "Close"
    assert told[-1].message == one.message
    assert told[-1].count == one.count
    assert all(message.advice and message.evidences for message in told)
    assert query.told(out, "nobody") == []


def test_linked_are_those_of_the_same_attack_or_entity(out: str) -> None:
    found = query.incidents(out)
    seen = 0
    for one in found:
        close = query.linked(found, one)
        seen += len(close)
        assert one not in close
        for other in found:
            same = other.attack == one.attack or (other.tenant, other.dimension, other.entity) == (
                one.tenant, one.dimension, one.entity
            )  # fmt: skip
            assert (other in close) == (same and other != one)
    assert seen > 0


def test_the_events_of_an_entity_are_those_it_was_scored_for(out: str) -> None:
    for dimension in DIMENSIONS:
        one = query.entities(out, dimension, 1)[0]
        rows = [row for row in query.windows(out, one.tenant, dimension, one.entity).to_pylist() if row["events_1m"]]
        for row in rows[:: max(1, len(rows) // 3)]:
            span = (int(row[side].timestamp() * 1000) for side in ("start", "end"))
            events = query.events(out, one.tenant, dimension, one.entity, *span, 10_000)
            assert abs(len(events) - row["events_1m"]) <= 0.02 * row["events_1m"], "but for those that came late"
            assert all("lapwing" in event and event["tenant"] == one.tenant for event in events)
    whole = query.events(out, one.tenant, "tenant", one.tenant, 0, 1 << 42, 10**6)
    assert len(query.events(out, one.tenant, "tenant", one.tenant, 0, 1 << 42, 7)) == 7
    raw = (json.loads(line) for line in (Path(out) / "scored.ndjson").read_bytes().splitlines())
    assert [event["id"] for event in whole] == [event["id"] for event in raw if event["tenant"] == one.tenant]
    assert query.events(out, "nobody", "ip", "192.0.2.1", 0, 1 << 42) == []
    assert query.events(out, one.tenant, "source", "events.ndjson", 0, 1 << 42) == []


def test_lanes_are_the_gravest_then_the_strangest(out: str) -> None:
    lanes = query.strangest(out, "ip", 30)
    grave = [max((one.severity for one in lane.incidents), default=0) for lane in lanes]
    assert len(lanes) == 30
    assert grave == sorted(grave, reverse=True)
    assert grave[0] > 0 == grave[-1]
    best = [max(lane.windows["score"].to_pylist(), default=0.0) for lane, severity in zip(lanes, grave, strict=True)
            if not severity]  # fmt: skip
    assert best == sorted(best, reverse=True)
    for lane in lanes:
        assert {*lane.windows["entity"].to_pylist()} <= {lane.entity}
        assert {one.entity for one in lane.incidents} <= {lane.entity}


def run(
    name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str, instead: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A notebook without a browser; its definitions, some of them given `instead` of a cell's."""
    path = str(lab.notebook(name))
    monkeypatch.setattr(sys, "argv", [path, "--", *arguments])
    app = runpy.run_path(path)["app"]
    assert isinstance(app, marimo.App)
    _, made = app.run(defs=instead)
    return dict(made)


def values(chart: Any) -> list[dict[str, Any]]:
    """All that a picture draws."""
    found: list[dict[str, Any]] = []

    def look(part: Any) -> None:
        if isinstance(part, dict):
            found.extend(part.get("data", {}).get("values", []) if isinstance(part.get("data"), dict) else [])
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(chart.to_dict())
    return found


def test_explore_shows_lanes_and_the_events_of_a_minute(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run("explore", monkeypatch, "--dir", out)
    lanes = query.strangest(out, "ip", 20)
    drawn = values(made["chart"])
    assert sorted(dot["score"] or 0.0 for dot in drawn if "score" in dot) == sorted(
        score or 0.0 for lane in lanes for score in lane.windows["score"].to_pylist()
    )
    assert sorted(bar["message"] for bar in drawn if "message" in bar) == sorted(
        one.message for lane in lanes for one in lane.incidents
    )
    minute = made["minute"]
    assert minute["score"] == max(dot["score"] or 0.0 for dot in made["dots"])
    assert len(made["events"]) == min(minute_of(out, minute), 500)


def minute_of(out: str, minute: dict[str, Any]) -> int:
    rows = query.windows(out, minute["tenant"], "ip", minute["entity"]).to_pylist()
    return next(int(row["events_1m"]) for row in rows if int(row["start"].timestamp() * 1000) == minute["start"])


def test_investigate_shows_one_incident_and_who_is_in_it(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = next(seen for seen in query.incidents(out) if seen.detection == "password_spray_ip")
    made = run("investigate", monkeypatch, "--dir", out, "--uid", one.uid[:10])
    assert made["one"] == one
    assert [message.message for message in made["told"]] == [told.message for told in query.told(out, one.uid)]
    inside = [event for event in made["events"] if one.start <= event["lapwing"]["time"] <= one.end]
    assert len(inside) >= one.count
    assert {event["ip"] for event in made["events"]} == {one.entity}
    dots = [dot for dot in values(made["timeline"]) if "outcome" in dot]
    assert len(dots) == len(made["events"])
    assert made["counted"]["ip"] == {one.entity: len(made["events"])}
    assert sum(point["events"] for point in made["points"]) == sum("lat" in event for event in made["events"])
    assert {row["uid"] for row in made["linked"]} == {other.uid for other in query.linked(query.incidents(out), one)}


def test_what_attackers_write_is_text_in_a_notebook(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scored.ndjson").symlink_to(Path(out) / "scored.ndjson")
    alerts = [json.loads(line) for line in (Path(out) / "alerts.ndjson").read_text().splitlines()]
    for alert in alerts:
        alert["message"] = "<script>alert(1)</script> " + alert["message"]
        alert["remediation"]["desc"] = "<img src=x onerror=alert(2)>"
    (tmp_path / "alerts.ndjson").write_text("".join(json.dumps(alert) + "\n" for alert in alerts))
    made = run("investigate", monkeypatch, "--dir", str(tmp_path))
    shown = "".join(part.text for part in made["explained"][:3])
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<img" not in shown


def test_tune_shows_what_another_limit_would_have_done(
    out: str, detected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = detected / "events.ndjson.truth.ndjson"
    made = run("tune", monkeypatch, "--dir", out, "--truth", str(labels))
    rule, before = made["detection"].value, made["before"]
    assert rule.id == "brute_force_user"
    assert made["limit"].value == before == rule.at_least
    assert made["change"] == ""
    assert {row["detection"] for row in made["unanswered"]} >= {"traffic_spike_ip", "slow_spray_ip"}
    opened = [one for one in query.incidents(out) if one.detection == rule.id]
    assert made["numbers"][0]["incidents"] == made["fired"].total == len(opened) > 0
    assert {(row["tenant"], row["entity"]) for row in made["listed"]} == {(one.tenant, one.entity) for one in opened}
    assert made["numbers"][0]["recall"].startswith("100%")

    higher = int(min(one.value or 0 for one in opened)) + 1
    moved = SimpleNamespace(value=higher, start=int(before) // 2, stop=4 * int(before))
    cell = {"index": made["index"], "before": before, "limit": moved, "why": ""}
    then = run("tune", monkeypatch, "--dir", out, "--truth", str(labels), instead=cell)
    assert then["fired"].total == sum((one.value or 0) >= higher for one in opened) < len(opened)
    assert [row["limit"] for row in then["numbers"]] == [before, higher]
    (tmp_path / "config.toml").write_text(patched("", then["change"]))
    after = {one.id: getattr(one, "at_least", None) for one in load(str(tmp_path / "config.toml")).detection}
    assert after[rule.id] == higher
    assert {**after, rule.id: before} == {one.id: getattr(one, "at_least", None) for one in load(None).detection}


def test_one_cell_alone_hangs_on_the_slider_and_draws_nothing_that_asks_again() -> None:
    cells = [one for one in ast.parse(lab.notebook("tune").read_text()).body if isinstance(one, ast.FunctionDef)]
    (moved,) = (one for one in cells if "limit" in (given.arg for given in one.args.args))
    assert not {"ui", "Chart"} & {node.attr for node in ast.walk(moved) if isinstance(node, ast.Attribute)}


def test_a_limit_lies_on_the_curve_of_all_limits() -> None:
    points = [(5.0, 400.0), (10.0, 20.0), (50.0, 0.5)]
    drawn = LimitCurve(points)
    line = re.findall(r"H([\d.]+)V([\d.]+)", drawn.svg(*points[0]))
    dots = [re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn.svg(*point))[0] for point in points]
    assert dots == line
    across, down = ([float(dot[at]) for dot in dots] for at in (0, 1))
    assert across == sorted(across)
    assert down == sorted(down)


def test_tune_says_in_words_why_there_is_no_answer(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[time]\nlateness = "7s"\n')
    made = run("tune", monkeypatch, "--dir", out, "--config", str(other))
    assert made["index"] is None
    assert "another configuration" in made["why"]
    (tmp_path / "labels").write_text(
        '{"attack":"x","kind":"brute_force","entities":{"user":["sam"]},"events":[],'
        '"start":"2025-01-01T00:00:00Z","end":"2025-01-01T00:01:00Z"}\n'
    )
    made = run("tune", monkeypatch, "--dir", out, "--truth", str(tmp_path / "labels"))
    assert made["fault"].startswith("the labels are of another range, 2025-01-01T00:00:00Z to 2025-01-01T00:01:00Z; ")
    assert "recall" not in made["numbers"][0]


def test_compare_says_what_each_detector_found(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run("compare", monkeypatch, "--dir", out)
    rows = {row["detector"]: row for row in made["agreement"]}
    assert set(rows) == {"default", "half_space_trees", "sklearn:IsolationForest"}
    assert not made["faults"]
    n = query.windows(out).num_rows
    for name, row in rows.items():
        assert row["rows"] == n
        assert 0 < row["scored"] <= n
        for other in rows:
            if other != name:
                assert row[f"also in {other}"] == len(made["first"][name] & made["first"][other]) < 50
    assert len(values(made["chart"])) == 150


def test_a_notebook_that_is_not_there_is_told_as_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no notebook 'nothing'; there are tune, explore, investigate, compare"):
        lab.notebook("nothing")
    assert {lab.notebook(name).parent for name in lab.NOTEBOOKS} == {ROOT / "notebooks"}
    done = lapwing("lab", "explore", "--dir", tmp_path / "none")
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"lapwing: {tmp_path}/none: no such folder; `lapwing detect --output")
    assert lapwing("lab", "nothing").returncode == 2
