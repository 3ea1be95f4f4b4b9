"""A real OpenSearch takes what Lapwing publishes: as ECS, through the ingest pipeline, and as the dashboards ask."""

import json
from pathlib import Path

import pytest

from flows.formats import ecs
from flows.formats.ocsf import encode_alert
from models.rules import about, default_rules, dimension
from tests.command import ROOT, lapwing, simulate
from tests.test_ocsf import alert_of

ELASTICSEARCH = ROOT / "deploy" / "siem" / "elasticsearch"
KIBANA = ROOT / "deploy" / "siem" / "kibana" / "lapwing.ndjson"
PIPELINE = "lapwing-ocsf-to-ecs"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """The results of a small run with attacks in it."""
    folder = tmp_path_factory.mktemp("small")
    done = lapwing("detect", "--input", simulate(folder / "events.ndjson", 20_000, 3), "--output", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def alerts(results) -> list[bytes]:
    found = (results / "alerts.ndjson").read_bytes().splitlines()
    assert len({json.loads(line)["activity_id"] for line in found}) == 3
    return found


@pytest.fixture(scope="module")
def pipeline(opensearch) -> str:
    opensearch.ask("PUT", f"/_ingest/pipeline/{PIPELINE}", json.loads((ELASTICSEARCH / "ocsf-to-ecs.json").read_text()))
    return PIPELINE


def through(opensearch, pipeline, records):
    """The documents that the pipeline makes."""
    docs = [{"_source": json.loads(record)} for record in records]
    made = opensearch.ask("POST", f"/_ingest/pipeline/{pipeline}/_simulate", {"docs": docs})
    return [one["doc"]["_source"] for one in made["docs"]]


def test_the_pipeline_makes_of_an_alert_what_the_encoder_makes(opensearch, pipeline, alerts):
    for record, document in zip(alerts, through(opensearch, pipeline, alerts), strict=True):
        assert document == json.loads(ecs.encode(record, "alert"))


HOSTILE = (
    '"},{"index":{}}\n',
    "{{{metadata.uid}}}",
    "{{ctx}}",
    "\u202egnp.exe",
    "a@",
    "@b",
    "é" * 120,
    "a\\b",
    "a b@c",
)
"""What an attacker may call himself; an address is what he has."""
ADDRESSES = ("203.0.113.7", "2001:db8::/64")


def test_the_pipeline_takes_names_for_names(opensearch, pipeline):
    """Whatever entity, address or network it is; two dimensions at once; no template in a value is filled in."""
    by_dimension = {dimension(rule): rule for rule in default_rules()}
    records = [
        encode_alert(alert_of(rule, entity=entity, tenant=name), about(rule), rule, 1_795_410_070_000, "0.1.0")
        for name in HOSTILE
        for rule in by_dimension.values()
        for entity in (ADDRESSES if dimension(rule) == "ip" else (name,))
    ]
    for record, document in zip(records, through(opensearch, pipeline, records), strict=True):
        assert document == json.loads(ecs.encode(record, "alert"))


def test_what_is_no_alert_is_stored_and_says_why(opensearch, pipeline):
    other = b'{"class_uid":2004,"metadata":{"product":{"name":"X"}}}'
    records = [b'{"class_uid":3002,"time":1}', b'{"a":{"b":[]}}', other]
    for record, document in zip(records, through(opensearch, pipeline, records), strict=True):
        assert document.pop("error")["message"].startswith("no alert of Lapwing: class_uid ")
        assert document.pop("event") == {"kind": "pipeline_error"}
        assert document == json.loads(record)
