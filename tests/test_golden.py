"""Each detection's golden file through the real flow: what must fire, at which moment, and what must not.

`tests/golden/ID.ndjson` are events, each case a tenant of its own; `ID.toml` says what `lapwing detect` is to make of
them, and why. It may bring detections of its own, where the default would need a day of events or hundreds of them.
"""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.config import Config, load
from models.rules import TenantRule, base_ids, default_rules, of_sources
from models.rules.behaviour_anomaly import BehaviourAnomaly
from tests.flow_under_test import run

GOLDEN = Path(__file__).parent / "golden"
IDS = sorted(
    {rule.id for rule in default_rules() if not isinstance(rule, BehaviourAnomaly | TenantRule)} | {*base_ids()}
)
"""What is learned over hours has tests of its own: test_tenants.py has the limit and one event less."""
OF_SOURCES = {rule.id for rule in of_sources(default_rules())}

Incident = tuple[str, str, datetime, int]
"""(tenant, entity, end of the first crossing pane, events counted in all)"""


def expectation(detection: str) -> dict[str, Any]:
    return tomllib.loads((GOLDEN / f"{detection}.toml").read_text())


def configuration(told: dict[str, Any], folder: Path) -> Config:
    lines = []
    for block in told.get("detection", ()):
        lines += ["[[detection]]", *(f"{key} = {json.dumps(value)}" for key, value in block.items())]
    path = folder / "config.toml"
    path.write_text("\n".join(lines))
    return load(str(path))


def incidents(output: Path, detection: str) -> list[Incident]:
    """The incidents of a detection, told or kept back, each with its create and its close."""
    creates, closes = {}, {}
    for name in ("alerts", "suppressed"):
        for line in (output / f"{name}.ndjson").read_text().splitlines():
            alert = json.loads(line)
            uid = alert["finding_info"]["uid"]
            if alert["metadata"]["event_code"] == detection and "digest" not in alert["unmapped"]:
                if alert["activity_id"] == 1:
                    creates[uid] = alert
                elif alert["activity_id"] == 3:
                    closes[uid] = alert["count"]
    assert creates.keys() == closes.keys()
    return sorted(
        (
            alert["metadata"]["tenant_uid"],
            alert["unmapped"]["entity"],
            datetime.fromtimestamp(alert["time"] / 1000, UTC),
            closes[uid],
        )
        for uid, alert in creates.items()
    )


@pytest.mark.parametrize("detection", IDS)
def test_what_fires_and_what_does_not(detection: str, tmp_path: Path) -> None:
    told = expectation(detection)
    totals = run(configuration(told, tmp_path), GOLDEN / f"{detection}.ndjson", tmp_path / "out")
    assert totals.sum("overtaken") == totals.sum("overflowed") == 0
    tenant = "" if detection in OF_SOURCES else None
    expected = sorted(
        (
            case["case"] if tenant is None or detection.endswith("_tenant") else tenant,
            case["entity"],
            case["crossed"],
            case["count"],
        )
        for case in told["fires"]
    )
    assert incidents(tmp_path / "out", detection) == expected


@pytest.mark.parametrize("detection", IDS)
def test_a_golden_file_has_both_kinds_of_cases_and_no_other(detection: str) -> None:
    told = expectation(detection)
    assert told["fires"]
    assert told["silent"]
    assert all(case["why"] for case in told["fires"] + told["silent"])
    if detection in OF_SOURCES and not detection.endswith("_tenant"):
        return  # its cases are stretches of time
    lines = (GOLDEN / f"{detection}.ndjson").read_bytes().splitlines()
    cases = {msgspec.json.decode(line)["tenant"] for line in lines}
    assert cases == {case["case"] for case in told["fires"] + told["silent"]}


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.toml")} == set(IDS)
