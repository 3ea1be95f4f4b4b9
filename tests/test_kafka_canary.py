"""The canary over a real broker: found beside a running flow, and missed without one; every metric that is watched."""

import json
import re
import time
from pathlib import Path

import pytest
import yaml

from flows.canary import LOG
from flows.formats.canary import username
from tests import command
from tests.command import ROOT
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record, produce
from tests.kafka_runs import Site
from tests.scrape import Scraper

KEY = "0123456789abcdef0123456789abcdef"
CONFIG = """
[canary]
tenant = "canary"
every = "1m"
within = "{within}"
[[detection]]
type = "brute_force_user"
[[detection]]
type = "traffic_spike"
dimension = "ip"
mode = "shadow"
[[exception]]
user = "nobody"
owner = "soc"
reason = "test"
expiry = "2100-01-01T00:00:00Z"
[[destination]]
type = "webhook"
id = "away"
url = "http://127.0.0.1:9/"
secret_env = "LAPWING_CANARY_KEY"
"""
OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
WORDS = re.compile(r"(lapwing_\w+)(?:\{([^}]*)\})?")


def expressions() -> list[str]:
    """Everything that the dashboard and the alert rules ask Prometheus."""
    [group] = yaml.safe_load((ROOT / "deploy/prometheus/lapwing.rules.yml").read_text())["groups"]
    board = json.loads((ROOT / "deploy/grafana/dashboards/lapwing.json").read_text())
    asked = [rule["expr"] for rule in group["rules"]]
    asked += [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return asked + [note["expr"] for note in board["annotations"]["list"]]


def labels(texts: list[str]) -> dict[str, set[str]]:
    """The labels that each metric is asked for: in its selector, or by a sum over it."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for name, selector in WORDS.findall(text):
            chosen = set(re.findall(r"(\w+)\s*=", selector))
            by = re.search(r"by \(([\w, ]*)\) \(+(?:\w+\()?" + name, text)
            chosen |= set(by[1].split(", ")) if by else set()
            found.setdefault(name, set()).update(chosen - {"job", "instance"})
    return found


def samples(seen: Scraper) -> dict[str, set[str]]:
    """The metrics of a process, and the labels that their samples have."""
    return {sample.name: set(sample.labels) for family in seen.families().values() for sample in family.samples}


def test_an_attack_is_found_and_all_that_is_watched_exists(
    kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPWING_CANARY_KEY", KEY)
    site = Site(kafka, tmp_path, 1, config=CONFIG.format(within="50s"))
    logs = {name: tmp_path / f"{name}.log" for name in ("detect", "canary", "forward")}
    canary = ("canary", "run", "--config", site.path, "--state", tmp_path / "canary", "--metrics", "0")
    forward = ("forward", "--config", site.path, "--state", tmp_path / "forwarded", "--metrics", "0")
    with (
        logs["detect"].open("wb") as err, logs["canary"].open("wb") as err2, logs["forward"].open("wb") as err3,
        site.running("--start", "earliest", "--metrics", "0", stderr=err) as flow,
        command.begun(*forward, stderr=err3) as forwarding,
    ):  # fmt: skip
        try:
            seen = Scraper(logs["detect"], flow)
            seen.ready()
            with command.begun(*canary, stderr=err2) as watching:
                try:
                    mine = Scraper(logs["canary"], watching)
                    mine.until(lambda s: s.value("canary_found_total") == 1, "it is found")
                    seen.until(lambda s: s.values("kept_back_alerts_total")["canary",], "it is counted apart")
                    assert sum(seen.values("alerts_total").values()) == 0
                    away = Scraper(logs["forward"], forwarding)
                    away.until(lambda s: s.values("forward_sent_total"), "destinations have begun")
                    exist = samples(seen) | samples(mine) | samples(away)
                    exist["lapwing_score_drift_timestamp_seconds"] = {"dimension"}
                    asked = labels(expressions())
                    assert set(asked) - set(exist) == set()
                    assert {name: wanted - exist[name] for name, wanted in asked.items() if wanted - exist[name]} == {}
                    assert len(asked) > 30
                finally:
                    watching.terminate()
                assert watching.wait(60) == 0
        finally:
            forwarding.terminate()
            flow.terminate()
        assert flow.wait(60) == 0
    code, text, _ = command.command("canary", "report", "--state", tmp_path / "canary", "--config", site.path, "--json")
    made = json.loads(text)
    assert (code, made["attacks"], made["found"], made["missed"]) == (0, 1, 1, 0)
    assert made["delay_most_s"] > 0
    assert site.values("alerts") == []


def test_without_a_flow_it_is_missed_and_told(kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPWING_CANARY_KEY", KEY)
    site = Site(kafka, tmp_path, 1, config=CONFIG.format(within="10s"))
    sent = int(time.time()) - 100
    names = {delay_s: username(KEY.encode(), "canary", sent - delay_s) for delay_s in (4, 30)}
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / LOG).write_text(
        "".join(json.dumps({"user": name, "what": "sent", "time": sent * 1000}) + "\n" for name in names.values())
    )
    # Of two attacks that an earlier watch has sent: what came while nobody looked, one in time and one not
    told = [
        {
            "finding_info": {"uid": "f" * 32}, "status_detail": "canary",
            "metadata": {"tenant_uid": "canary", "processed_time": (sent + delay_s) * 1000},
            "unmapped": {"dimension": "user", "entity": name},
        } for delay_s, name in names.items()
    ]  # fmt: skip
    settings = kafka.client()
    produce(settings, site.topics["suppressed"], [Record(json.dumps(one).encode(), partition=0) for one in told])
    done = command.lapwing(
        "canary", "run", "--config", site.path, "--state", tmp_path / "canary", "--count", "1"
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.decode().splitlines()[-1] == "lapwing: attacks that raised no incident within 10s: 2"
    alert, _ = site.values("alerts")
    assert alert["unmapped"]["detection"] == "canary_missing"
    assert alert["finding_info"]["uid"].encode() == site.read("alerts")[0].key
    code, text, said = command.command("canary", "report", "--state", tmp_path / "canary", "--json")
    assert (code, said) == (3, ["lapwing: 2 of 3 attacks raised no incident in time"])
    assert (json.loads(text)["found"], json.loads(text)["delay_most_s"]) == (1, 4.0)
