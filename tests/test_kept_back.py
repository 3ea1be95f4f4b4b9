"""A real run with an exception and a low limit: what is kept out of the queue is counted, and can be found."""

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flows import query
from tests.command import ROOT, lapwing, simulate

CONFIG = """
[output]
max_incidents_per_hour = 1

[[exception]]
id = "pentest"
cidr = "203.0.113.0/24"
detection = "brute_force_ip"
owner = "soc@acme.example"
reason = "Pentest, ticket 4711"
expiry = 2100-01-01T00:00:00Z

[[exception]]
id = "over"
tenant = "*"
detection = "*_user"
owner = "soc@acme.example"
reason = "was needed in 2020"
expiry = "2020-12-31T00:00:00Z"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept-back")
    (folder / "config.toml").write_text(CONFIG)
    events = simulate(folder / "events.ndjson", 90_000, 3)
    last = json.loads(events.read_bytes().splitlines()[-1])["time"]
    begun = datetime.fromisoformat(last.replace("Z", "+00:00")).replace(minute=0) + timedelta(hours=1)
    with events.open("a") as file:
        for second in range(120):
            event = {
                "time": (begun + timedelta(seconds=second)).isoformat(), "id": f"more-{second}", "tenant": "acme",
                "action": "login", "outcome": "failure", "status": 401, "username": f"user{second % 4}@example.com",
                "ip": f"198.51.100.{second}",
            }  # fmt: skip
            file.write(json.dumps(event) + "\n")
            pentest = {"id": f"pentest-{second}", "username": f"sam{second % 2}@example.com", "ip": "203.0.113.200"}
            file.write(json.dumps(event | pentest) + "\n")
    return folder


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    done = lapwing(
        "detect", "--config", folder / "config.toml", "--input", folder / "events.ndjson", "--output", folder / "out",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"suppressed by exception pentest" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / name).read_bytes().splitlines()]


def test_the_result_counts_what_the_files_hold(folder: Path, told: dict[str, Any]) -> None:
    alerts, suppressed = lines(folder, "alerts.ndjson"), lines(folder, "suppressed.ndjson")
    creates = [line for line in alerts if line["activity_id"] == 1 and "digest" not in line["unmapped"]]
    assert (told["alerts"], told["incidents"]) == (len(alerts), len(creates))
    assert told["merged"] == sum(not line["is_alert"] for line in creates)
    by = Counter(line["status_detail"] for line in suppressed if line["activity_id"] == 1)
    assert told["suppressed"] == {"pentest": by["exception pentest"], "over": 0}
    assert by["exception pentest"] > 0
    assert told["digested"] == sum(count for detail, count in by.items() if detail.startswith("digest ")) > 0
    digests = {line["finding_info"]["uid"]: line for line in alerts if "digest" in line["unmapped"]}
    assert told["digested"] == sum(line["unmapped"]["digest"] for line in digests.values())
    assert {detail.removeprefix("digest ") for detail in by} - {"exception pentest"} == digests.keys()
    assert sorted(told["files"]) == sorted(str(path) for path in (folder / "out").iterdir() if path.is_file())


def test_an_exception_keeps_an_incident_out_of_the_queue_for_its_life(folder: Path, told: dict[str, Any]) -> None:
    suppressed = [line for line in lines(folder, "suppressed.ndjson") if line["status_detail"] == "exception pentest"]
    assert {line["unmapped"]["detection"] for line in suppressed} == {"brute_force_ip"}
    assert [line["activity_id"] for line in suppressed][-1] == 3
    silent = {line["finding_info"]["uid"] for line in suppressed}
    assert not silent & {line["finding_info"]["uid"] for line in lines(folder, "alerts.ndjson")}
    assert all(line["status"] == "Suppressed" and not line["is_alert"] for line in suppressed)
    assert suppressed[0]["message"].endswith("; suppressed by exception pentest")


def test_all_of_it_is_ocsf_and_scored_events_name_it(folder: Path, told: dict[str, Any]) -> None:
    schema = jsonschema.Draft202012Validator(json.loads((ROOT / "tests" / "ocsf-1.8.0.schema.json").read_text()))
    uids = set()
    for name in ("alerts.ndjson", "suppressed.ndjson"):
        for line in lines(folder, name):
            schema.validate(line)
            if "digest" not in line["unmapped"] and line["unmapped"]["feature"] != "behaviour":
                uids.add(line["finding_info"]["uid"])
    # An incident of behaviour opens when a minute has ended, and there may be no further event.
    named = {uid for event in lines(folder, "scored.ndjson") for uid in event["lapwing"]["alerts"]}
    assert uids <= named


def test_an_action_belongs_to_an_incident(folder: Path, told: dict[str, Any]) -> None:
    acting = {
        (line["finding_info"]["uid"], line["unmapped"]["entity"])
        for line in lines(folder, "alerts.ndjson")
        if line["unmapped"]["detection"] == "deletion_surge_user"
    }
    found = list(query.actions(str(folder / "out")))
    assert {(one.uid, one.entity) for one in found if one.action == "suspend"} == acting != set()
    assert all(one.risk == 80 and one.ttl == 3600 for one in found if one.action == "suspend")


def test_check_shows_exceptions_and_what_is_wrong_with_them(folder: Path) -> None:
    done = lapwing("check", folder / "config.toml", "--json")
    found = json.loads(done.stdout)
    assert [one["id"] for one in found["exceptions"]] == ["pentest", "over"]
    assert found["warnings"] == ["exception over: has expired at 2020-12-31T00:00:00Z, so it does nothing any more"]
    text = lapwing("check", folder / "config.toml").stdout.decode()
    assert "warning: exception over: has expired" in text
    assert "cidr 203.0.113.0/24, detection brute_force_ip" in text


def test_the_effective_configuration_is_one(folder: Path, tmp_path: Path) -> None:
    shown = lapwing("config", "--config", folder / "config.toml", "--all").stdout
    (tmp_path / "again.toml").write_bytes(shown)
    again = lapwing("config", "--config", tmp_path / "again.toml", "--all").stdout
    assert shown.splitlines()[-1].split()[2] == again.splitlines()[-1].split()[2]
