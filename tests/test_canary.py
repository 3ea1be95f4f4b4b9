"""An attack of our own: its incident is known by its signature, and told of only when it is not ours."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flows.canary import Attack, report
from flows.config import config_hash, load
from flows.formats.canary import attack, finding, signed_at, username
from tests.command import ROOT, command, lapwing

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "another key, which is not the right one"
MOMENT = "2026-11-23T05:00:00Z"
CONFIG = '[canary]\ntenant = "canary"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def detected(events: Path, config: Path, out: Path) -> dict[str, list[dict[str, Any]]]:
    done = lapwing("detect", "--config", config, "--input", events, "--output", out)
    assert done.returncode == 0, done.stderr
    return {
        name: [json.loads(line) for line in (out / f"{name}.ndjson").read_bytes().splitlines()]
        for name in ("alerts", "suppressed", "scored", "actions")
    }


def test_a_signed_attack_is_found_and_kept_out_and_a_forged_one_is_an_alert(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPWING_CANARY_KEY", KEY)
    events, out = tmp_path / "events.ndjson", tmp_path / "out"
    words = ("canary", "once", "--config", config, "--output", events, "--at", MOMENT)
    assert command(*words, "--quiet") == (0, "", [])
    ours = events.read_bytes()
    first = json.loads(ours.splitlines()[0])
    # The same name in a real tenant, and one that somebody has signed with a key of his own.
    stolen = ours.replace(b'"tenant":"canary"', b'"tenant":"acme"').replace(b'"id":"', b'"id":"s')
    forged = ours.replace(first["username"].encode(), username(OTHER.encode(), "canary", 1795410000).encode())
    # An hour later the signature says another time than that of the events.
    replayed = ours.replace(b'"time":1795410', b'"time":1795414').replace(b'"id":"', b'"id":"r')
    events.write_bytes(ours + stolen + forged.replace(b'"id":"', b'"id":"f') + replayed)
    found = detected(events, config, out)
    assert len(found["scored"]) == 40
    kept = {alert["unmapped"]["entity"] for alert in found["suppressed"]}
    assert kept == {first["username"]}
    assert {(a["status_detail"], a["metadata"]["tenant_uid"]) for a in found["suppressed"]} == {("canary", "canary")}
    news = [a for a in found["alerts"] if a["activity_id"] == 1 and a["unmapped"]["dimension"] == "user"]
    told = [(a["metadata"]["tenant_uid"], a["unmapped"]["entity"]) for a in news]
    assert sorted(told) == sorted([
        ("acme", first["username"]),
        ("canary", username(OTHER.encode(), "canary", 1795410000)),
        ("canary", first["username"]),
    ])  # fmt: skip
    code, text, _ = command("canary", "report", "--input", out, "--config", config, "--days", "3660", "--json")
    made = json.loads(text)
    assert (code, made["attacks"], made["found"], made["missed"]) == (0, 1, 1, 0)


def test_canaries_by_the_minute_are_no_attack_together(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty in half an hour: a spray, fast or slow, if one address had sent them."""
    monkeypatch.setenv("LAPWING_CANARY_KEY", KEY)
    attacks = [attack(KEY.encode(), "canary", "/canary", 1795410000 + 60 * k, 10) for k in range(30)]
    (tmp_path / "events.ndjson").write_bytes(b"".join(line + b"\n" for lines in attacks for line in lines))
    found = detected(tmp_path / "events.ndjson", config, tmp_path / "out")
    assert found["alerts"] == []
    assert len({one["unmapped"]["entity"] for one in found["suppressed"]}) == 30


def test_one_that_raised_no_incident_is_exit_code_3(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPWING_CANARY_KEY", KEY)
    events, out = tmp_path / "events.ndjson", tmp_path / "out"
    command("canary", "once", "--config", config, "--output", events, "--at", MOMENT, "--quiet")
    events.write_bytes(b"".join(events.read_bytes().splitlines(keepends=True)[:9]))
    detected(events, config, out)
    code, text, said = command("canary", "report", "--input", out, "--config", config, "--days", "3660")
    assert code == 3
    assert said == ["lapwing: 1 of 1 attacks raised no incident in time"]
    assert username(KEY.encode(), "canary", 1795410000) in text


@pytest.mark.parametrize(("key", "why"), [(None, "is not set"), ("short", "has 5 bytes")])
def test_without_a_key_nothing_runs(
    key: str | None, why: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAPWING_CANARY_KEY", raising=False)
    if key:
        monkeypatch.setenv("LAPWING_CANARY_KEY", key)
    events = tmp_path / "events.ndjson"
    events.write_text('{"time": 1795410000000, "user": "u"}\n')
    for words in (
        ("detect", "--input", events, "--output", tmp_path / "out"), ("canary", "once", "--output", "-"),
        ("canary", "run", "--state", tmp_path / "canary"),
    ):  # fmt: skip
        code, out, said = command(*words, "--config", config)
        assert (code, out) == (2, "")
        assert len(said) == 1
        assert f"LAPWING_CANARY_KEY {why}" in said[0]


def test_what_is_wrong_with_the_block_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[canary]\nevery = "10s"\nwithin = "1h"\ntenant = " x"\nkey_env = "a b"\n')
    code, _, said = command("check", path)
    assert code == 2
    assert len(said) == 4
    assert all("$.canary." in line for line in said)


def test_a_canary_changes_the_hash_only_where_there_is_one() -> None:
    assert config_hash(load(flags={"canary.every": "2h"})) == config_hash(load())
    assert config_hash(load(flags={"canary.tenant": "c"})) != config_hash(load())


def test_a_name_is_ours_only_with_key_and_tenant() -> None:
    key = KEY.encode()
    name = username(key, "canary", 1795410000)
    assert signed_at(key, "canary", name) == 1795410000
    for wrong in (name[:-1] + "0" if name[-1] != "0" else name[:-1] + "1", name + "0", name.replace("17954", "17955")):
        assert signed_at(key, "canary", wrong) is None
    assert signed_at(OTHER.encode(), "canary", name) is None
    assert signed_at(key, "acme", name) is None


@pytest.mark.parametrize("over", [0, 1795413600000])
def test_the_finding_is_a_detection_finding(over: int) -> None:
    schema = json.loads((ROOT / "tests" / "ocsf-1.8.0.schema.json").read_text())
    alert = json.loads(finding("canary", "canary-1795410000-x", 1795410000, "5m", 300, "0.1", over))
    jsonschema.Draft202012Validator(schema).validate(alert)
    assert alert["activity_id"] == (3 if over else 1)


def test_a_report_knows_days_without_attacks() -> None:
    day = 86_400.0
    attacks = [Attack(user="a", sent=0, outcome="missed"), Attack(user="b", sent=99 * day, outcome="found", delay_s=7)]
    made = report(attacks, 90, 3600, 100 * day)
    assert (made.attacks, made.expected, made.missed, made.delay_most_s) == (1, 24, 0, 7)
    assert made.longest_without_s == day
