"""Every file of deploy/siem can be parsed, reads committed records of topics by their names, and names known fields."""

import configparser
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from flows.formats.field_table import ALERT, SCORED
from flows.formats.ocsf import encode_alert
from flows.kafka_block import Topics
from models.rules import about, default_rules, dimension
from tests.command import ROOT
from tests.conftest import GOLDEN
from tests.test_ocsf import alert_of

SIEM = ROOT / "deploy" / "siem"
FILES = sorted(path for path in SIEM.rglob("*") if path.is_file())
SHIPPERS = [path for path in FILES if re.search(r"topics\b.*audit\.", path.read_text())]
LIBRDKAFKA = {"vector", "fluent-bit"}
"""Reads committed records unless it is told otherwise."""
COMMITTED = {
    "splunk/kafka-connect-alerts.json": '"consumer.override.isolation.level": "read_committed"',
    "splunk/kafka-connect-scored.json": '"consumer.override.isolation.level": "read_committed"',
    "logstash/lapwing.conf": 'isolation_level => "read_committed"',
    "filebeat/filebeat.yml": "isolation_level: read_committed",
}
SECRET = re.compile(r"""(?i)\b([\w.]*(?:password|passwd|token|api_key))"?\s*(?:=>|[:=])\s*['"]?([^\s"',}]+)""")
UNCOMMITTED = {"opentelemetry/collector.yaml"}
"""Has no setting for it, and says so."""


def name(path: Path) -> str:
    return path.relative_to(SIEM).as_posix()


def splunk_conf(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=True)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def logstash(text: str) -> None:
    """Braces, brackets and quotes of a pipeline close as they open, outside strings and comments."""
    bare = re.sub(r'"[^"\n]*"', '""', re.sub(r"(?m)^\s*#.*$", "", text))
    open_ones = []
    for char in bare:
        if char in "{[":
            open_ones.append(char)
        elif char in "}]":
            assert open_ones.pop() + char in ("{}", "[]")
    assert not open_ones
    assert bare.count('"') % 2 == 0
    assert re.findall(r"(?m)^(\w+) \{", bare) == ["input", "filter", "output"]


def parse(path: Path) -> object:
    text = path.read_text()
    match path.suffix:
        case ".json":
            return json.loads(text)
        case ".ndjson":
            return [json.loads(line) for line in text.splitlines()]
        case ".yaml" | ".yml":
            return yaml.safe_load(text)
        case ".xml":
            return ElementTree.fromstring(text)
        case ".conf":
            return logstash(text) if path.parent.name == "logstash" else splunk_conf(text).sections()
        case ".md":
            return text
    raise AssertionError(f"{name(path)}: who parses this?")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_can_be_parsed(path):
    parse(path)
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_names_topics_that_there_are_and_no_secret(path):
    text = path.read_text()
    topics = {getattr(Topics(), key) for key in Topics.__struct_fields__}
    assert set(re.findall(r"\baudit\.[a-z.-]*[a-z]", text)) <= topics
    for key, value in SECRET.findall("" if path.suffix == ".xml" else text):
        assert value.startswith("${"), (key, value)


@pytest.mark.parametrize("path", SHIPPERS, ids=name)
def test_a_shipper_reads_committed_records(path):
    """Which ones there are is told below; one more has to say here what its client does."""
    text = path.read_text()
    if name(path) in UNCOMMITTED:
        assert "READS UNCOMMITTED" in text
    elif path.parent.name in LIBRDKAFKA:
        assert "read_committed" in text
        assert not re.search(r"(?m)^\s*[^#\s].*isolation", text)
    else:
        assert COMMITTED[name(path)] in text


def test_there_is_a_shipper_for_each_of_them():
    assert {path.parent.name for path in SHIPPERS} >= {"splunk", "logstash", "filebeat", *LIBRDKAFKA, "opentelemetry"}


def members(path: str) -> set[str]:
    """A field as Splunk names it, and all that it stands in."""
    parts = path.replace("[]", "{}").split(".")
    return {".".join(parts[: count + 1]) for count in range(len(parts))}


def test_splunks_searches_name_known_fields():
    known = {each for field in (*ALERT, *SCORED) for each in members(field.path)}
    root = ElementTree.fromstring((SIEM / "splunk" / "lapwing.xml").read_text())
    queries = [node.text or "" for node in root.iter("query")]
    saved = splunk_conf((SIEM / "splunk" / "savedsearches.conf").read_text())
    queries += [saved[section]["search"] for section in saved.sections()]
    queries += [saved[section].get("alert.suppress.fields", "") for section in saved.sections()]
    macros = splunk_conf((SIEM / "splunk" / "macros.conf").read_text())
    queries += [macros[section]["definition"] for section in macros.sections()]
    assert len(queries) > 12
    for query in queries:
        assert set(re.findall(r"`(\w+)`", query)) <= set(macros.sections())
        bare = re.sub(r'"[^"]*"|\$[^$]*\$', "", query)
        for field in re.findall(r"[a-z_]+(?:\.[a-z_]+)+(?:\{\})?", bare):
            assert field in known, query
    kinds = {parse(path)["config"]["splunk.sourcetypes"] for path in SIEM.glob("splunk/kafka-connect-*.json")}
    assert kinds == set(splunk_conf((SIEM / "splunk" / "props.conf").read_text()).sections())


def test_kibanas_objects_hold_together():
    objects = parse(SIEM / "kibana" / "lapwing.ndjson")
    there = {(each["type"], each["id"]) for each in objects}
    assert len(there) == len(objects)
    for each in objects:
        named = {reference["name"] for reference in each["references"]}
        assert {(reference["type"], reference["id"]) for reference in each["references"]} <= there
        panels = json.loads(each["attributes"].get("panelsJSON", "[]"))
        assert {panel["panelRefName"] for panel in panels} == (named if panels else set())


def test_splunk_connect_takes_the_events_time_from_the_record():
    """And from nowhere else: what an attacker writes has its quotes escaped."""
    forged = '{"time":1111111111111,"lapwing":{"v":1,"time":1111111111111}}'
    rule = next(rule for rule in default_rules() if dimension(rule) == "user")
    alert = encode_alert(alert_of(rule, entity=forged), about(rule), rule, 1_795_410_070_000, "0.1.0").decode()
    scored = (GOLDEN / "scored.ndjson").read_text().splitlines()
    assert len(scored) > 10
    own = scored[0][scored[0].index(',"lapwing":') :]
    scored.append(json.dumps({"time": "2026-11-23T05:00:00Z", "user_agent": forged})[:-1] + own)
    for kind, lines in (("alerts", [alert]), ("scored", scored)):
        config = json.loads((SIEM / "splunk" / f"kafka-connect-{kind}.json").read_text())["config"]
        pattern = config["timestamp.regex"].replace("(?<", "(?P<")
        for line in lines:
            found, record = re.search(pattern, line), json.loads(line)
            assert found, line
            assert int(found["time"]) == record.get("lapwing", record)["time"]


def test_the_table_names_every_file():
    table = (SIEM / "README.md").read_text()
    for path in FILES:
        if path.suffix != ".md":
            assert f"`{name(path)}`" in table
