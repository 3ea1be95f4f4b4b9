"""A detection in shadow runs, is counted and can be looked at; to all else it is as if it were not there."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.config import config_hash, load
from flows.running import result
from flows.state_shape import state_identity
from flows.steps.decide import Decide, policy
from flows.totals import Totals
from models.alert import CREATE, Alert
from models.rules import Rule, default_rules
from tests.command import lapwing
from tests.findings import START, Life, configured, decided, item, items
from tests.test_decide import CASES, exactly, except_
from tests.test_kafka_latest import failed, quiet
from tests.test_metrics import fed, give

SHADOWED = ("brute_force_ip", "password_spray_ip", "brute_force_user")
MORE = """
[[detection]]
type = "dead_letter_surge"
at_least = 1
{mode}
[[detection]]
type = "threshold"
id = "any_failure"
by = "ip"
where = "failure"
count = true
at_least = 2
severity = "critical"
{mode}
"""


def shadowed(*ids: str) -> tuple[Rule, ...]:
    return tuple(msgspec.structs.replace(rule, mode="shadow") if rule.id in ids else rule for rule in default_rules())


@settings(max_examples=150)
@given(CASES, st.sampled_from(SHADOWED), st.integers(0, 2**32))
def test_the_others_are_told_as_if_it_were_not_there(case: tuple[int, list[Life]], one: str, seed: int) -> None:
    """Neither merged, nor counted towards an hour's limit or a crowd, whatever order and restarts."""
    most, lives = case
    rng = random.Random(seed)
    out = decided(items(lives, rng), configured(most, rules=shadowed(one)), rng)
    silent = [alert for alert in out if alert.detection == one]
    assert {alert.suppressed_by for alert in silent} <= {"shadow"}
    assert sorted((alert.uid, alert.seq) for alert in silent) == sorted(
        (alert.uid, alert.seq) for life in lives if life.rule == one for alert in life.alerts()
    )
    assert not any(alert.incident or alert.related for alert in silent)
    others = [life for life in lives if life.rule != one]
    usual = decided(items(others, random.Random(0)), configured(most)) if others else []
    key = msgspec.json.encode
    assert sorted(map(key, exactly([alert for alert in out if alert.detection != one]))) == sorted(
        map(key, exactly(usual))
    )


def test_an_exception_and_the_past_come_first() -> None:
    """What would not be told either if the detection were live is none that it would have told of."""
    lives = [Life("brute_force_ip", f"203.0.113.{i}", i) for i in range(3)]
    config = configured(1, [except_(id="x", cidr="203.0.113.0/32")], shadowed("brute_force_ip"))
    out = decided(items(lives, random.Random(1)), config)
    assert Counter(alert.suppressed_by for alert in out if alert.activity == CREATE) == {"exception x": 1, "shadow": 2}


@pytest.mark.parametrize("first", ["live", "shadow"])
@pytest.mark.parametrize("rule", ["brute_force_ip", "brute_force_user"])
def test_an_incident_stays_what_it_was_when_it_opened(first: str, rule: str) -> None:
    """The mode may change between two runs on one state; what opens afterwards goes by the new one."""
    lives = [Life(rule, "203.0.113.7", 0, updates=2), Life(rule, "203.0.113.8", 400)]
    configs = {"live": configured(), "shadow": configured(rules=shadowed(rule))}
    [other] = configs.keys() - {first}
    findings = sorted((f for life in lives for f in life.findings(random.Random(2))), key=lambda f: f.alert.time)
    cut = START // 1_000_000 + 200
    step = Decide(policy(configs[first]), False, None)
    out: list[Alert] = []
    for mode, mine in ((first, True), (other, False)):
        found = [f for f in findings if (f.alert.time // 1_000_000 < cut) is mine]
        passed = 2**62 if mode == other else cut * 1_000_000 // 5_000_000
        for alerts in step.on_batch([item(found, passed, ended=mode == other)])[0]:
            out += alerts
        step = Decide(policy(configs[other]), False, step.snapshot())
    by = {"live": "", "shadow": "shadow"}
    assert {alert.suppressed_by for alert in out if alert.uid == lives[0].uid} == {by[first]}
    assert {alert.suppressed_by for alert in out if alert.uid == lives[1].uid} == {by[other]}
    assert len(out) == 4 + 3


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def told(path: Path) -> list[dict[str, Any]]:
    found = lines(path)
    for line in found:
        del line["metadata"]["processed_time"]
    return found


@pytest.fixture(scope="module")
def runs(detected: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same events without two detections, with them in shadow, and with them live."""
    events = (detected / "events.ndjson").read_bytes() + b"no event\n" * 2
    found: dict[str, Any] = {}
    for name, more in (
        ("without", ""),
        ("shadow", MORE.format(mode='mode = "shadow"')),
        ("live", MORE.format(mode="")),
    ):
        folder = tmp_path_factory.mktemp(name)
        (folder / "events.ndjson").write_bytes(events)
        base = "".join(f'[[detection]]\ntype = "{kind}"\n' for kind in ("brute_force_user", "password_spray_ip"))
        config = written(folder, base + more)
        done = lapwing(
            "detect", "--config", config, "--input", folder / "events.ndjson", "--output", folder / "out", "--json"
        )
        assert done.returncode == 0, done.stderr
        found[name] = folder / "out", json.loads(done.stdout), done.stderr.decode()
    return found


def test_a_run_is_the_same_but_for_what_is_suppressed(runs: dict[str, Any]) -> None:
    without, shadow, live = (runs[name][0] for name in ("without", "shadow", "live"))
    for name in ("scored.ndjson", "actions.ndjson", "dead-letters.ndjson"):
        assert (shadow / name).read_bytes() == (without / name).read_bytes(), name
    assert told(shadow / "alerts.ndjson") == told(without / "alerts.ndjson") != told(live / "alerts.ndjson")
    assert (live / "scored.ndjson").read_bytes() != (without / "scored.ndjson").read_bytes(), "else nothing is shown"
    assert (live / "actions.ndjson").read_bytes() != (without / "actions.ndjson").read_bytes()


def test_what_is_in_shadow_is_counted_and_can_be_looked_at(runs: dict[str, Any]) -> None:
    folder, result, said = runs["shadow"]
    silent = [line for line in lines(folder / "suppressed.ndjson") if line["status_detail"] == "shadow"]
    assert {line["status"] for line in silent} == {"Suppressed"}
    assert not any(line["is_alert"] for line in silent)
    by = Counter(line["unmapped"]["detection"] for line in silent if line["activity_id"] == 1)
    assert result["shadow"] == by
    assert min(by["any_failure"], by["dead_letter_surge"]) > 0
    assert f"{by['any_failure']:,} of any_failure in shadow" in said
    assert (result["alerts"], result["incidents"]) == tuple(runs["without"][1][key] for key in ("alerts", "incidents"))
    assert runs["live"][1]["shadow"] == {}


def test_the_counts_of_several_processes_and_runs_are_summed() -> None:
    config = configured(rules=shadowed("brute_force_ip", "password_spray_ip"))
    silent = [Life("brute_force_ip", f"203.0.113.{n}", n).alerts()[0] for n in range(3)]
    silent = [msgspec.structs.replace(alert, suppressed_by="shadow") for alert in silent]
    first, second = Totals(), Totals()
    first.see_alerts(silent)
    second.see_alerts([*silent[:1], Life("brute_force_user", "sam", 0).alerts()[0]])
    second.add(first.share())
    found = result(config, second, 1.0, [], False)
    assert found.shadow == {"brute_force_ip": 4, "password_spray_ip": 0}
    assert (found.incidents, found.alerts, second.kept_back) == (1, 1, {"shadow": 1})
    again = found.after(result(config, first, 1.0, [], False))
    assert (again.shadow["brute_force_ip"], again.incidents) == (7, 1)


def test_a_running_flow_shows_them(tmp_path: Path) -> None:
    config = written(tmp_path, '[[detection]]\ntype = "brute_force_user"\nmode = "shadow"\n')
    with fed(tmp_path, "--config", config, "--output", tmp_path / "out") as (process, seen):
        seen.ready()
        at = "brute_force_user", "medium"
        assert seen.values("shadow_incidents_total") == {at: 0}
        give(process, b"".join((one.value or b"") + b"\n" for one in failed("sam", 0) + failed("kim", 0) + quiet(0.8)))
        seen.until(lambda s: s.values("shadow_incidents_total") == {at: 2}, "both incidents are counted")
        assert seen.values("kept_back_alerts_total")["shadow",] >= 2
        assert not any(seen.values("alerts_total").values())
        process.terminate()
        assert process.wait(60) == 0


def test_the_mode_is_shown_and_is_no_part_of_what_a_state_was_made_for(tmp_path: Path) -> None:
    live, shadow = (
        load(str(written(tmp_path, MORE.format(mode=mode)))) for mode in ('mode = "live"', 'mode = "shadow"')
    )
    assert [rule.mode for rule in shadow.detection] == ["shadow", "shadow"]
    assert state_identity(live) == state_identity(shadow)
    assert config_hash(live) != config_hash(shadow)
    assert config_hash(load(str(written(tmp_path, MORE.format(mode=""))))) == config_hash(live)
    written(tmp_path, MORE.format(mode='mode = "shadow"'))
    done = lapwing("check", tmp_path / "config.toml", "--json")
    assert [one["mode"] for one in json.loads(done.stdout)["detections"]] == ["shadow", "shadow"]
    text = lapwing("check", tmp_path / "config.toml").stdout.decode()
    assert "detection          dimension  window  severity  mode    limit" in text
    done = lapwing("check", written(tmp_path, MORE.format(mode='mode = "off"')))
    assert done.returncode == 2
    assert b'Expected one of live, shadow, got "off" - at $.detection[0].mode' in done.stderr


@pytest.mark.parametrize("rule", default_rules(), ids=lambda rule: rule.id)
def test_every_detection_has_the_mode(rule: Rule, tmp_path: Path) -> None:
    """Also those that are overridden by their id."""
    keys = {"id": rule.id} | ({"dimension": rule.dimension} if hasattr(rule, "dimension") else {})
    text = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    kind = rule.__struct_config__.tag
    needs = '[[detector]]\ntype = "ewma"\n[[detector]]\ntype = "half_space_trees"\n' * (kind == "behaviour_anomaly")
    path = written(tmp_path, f'{needs}[[detection]]\ntype = "{kind}"\nmode = "shadow"\n{text}')
    assert [found.mode for found in load(str(path)).detection] == ["shadow"]


def test_examples_of_a_detection_in_shadow_fire(tmp_path: Path) -> None:
    events = '{action = "login", outcome = "failure", ip = "203.0.113.7", repeat = %d}'
    text = MORE.format(mode='mode = "shadow"') + "".join(
        f"[[detection.example]]\nfires = {fires}\nevents = {events % count}\n"
        for count, fires in ((2, "true"), (1, "false"))
    )
    done = lapwing("test", written(tmp_path, text))
    assert done.returncode == 0, done.stdout
    assert b"ip 203.0.113.7: 2 (limit 2), suppressed by shadow" in done.stdout


def test_a_state_goes_on_with_another_mode(tmp_path: Path) -> None:
    """One that is open stays what it was; the next goes by the new mode."""
    for name, minute in (("first", 0.0), ("second", 1.0), ("third", 2.0)):
        with (tmp_path / "events.ndjson").open("ab") as file:
            file.writelines((record.value or b"") + b"\n" for record in failed(name, minute) + quiet(minute + 0.8))
        mode = "shadow" if name == "second" else "live"
        config = written(tmp_path, f'[[detection]]\ntype = "brute_force_user"\nmode = "{mode}"\n')
        done = lapwing(
            "detect", "--config", config, "--input", tmp_path / "events.ndjson", "--output", tmp_path / "out",
            "--state", tmp_path / "state", *(["--close"] if name == "third" else []),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def lives(name: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for line in lines(tmp_path / "out" / name):
            found.setdefault(line["unmapped"]["entity"], []).append(line["activity_id"])
        return found

    assert {name: (life[0], life[-1]) for name, life in lives("alerts.ndjson").items()} == {
        "first": (1, 3), "third": (1, 3),
    }  # fmt: skip
    assert {name: (life[0], life[-1]) for name, life in lives("suppressed.ndjson").items()} == {"second": (1, 3)}
