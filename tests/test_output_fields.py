"""The table of output fields is what comes out: no member it does not know, none it makes up, each of its type."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.formats.field_docs import index_template, mapping, props
from flows.formats.field_table import ALERT, JSON_TYPES, SCORED, Field
from models.alert import CLOSE, Reason, Related
from models.rules import default_rules
from tests.command import ROOT, command, lapwing
from tests.siem_docs import alert_record, files
from tests.test_ocsf import EVENT

TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
RARE = {"lapwing.ignored_more"}
"""What no short run gives: it takes an event that grows by 800 bytes. tests/naive_splice.py has it."""


def leaves(found: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(found, dict):
        for name, inner in found.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(found, list):
        for inner in found:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, found


def wrong(lines: list[dict[str, Any]], table: tuple[Field, ...]) -> tuple[set[str], set[str]]:
    """Members that the table does not know or knows with another type; and those of the table that are not there."""
    known = {field.path: field for field in table}
    unknown, seen = set(), set()
    for path, value in (leaf for line in lines for leaf in leaves(line)):
        field = known.get(path)
        null = value is None and field in SCORED and (path == "lapwing.risk" or field.type == "float")
        if field is None or not (null or TYPES.get(type(value)) == JSON_TYPES[field.type]):
            unknown.add(f"{path}: {value!r}")
        else:
            seen.add(path)
    return unknown, known.keys() - seen


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def rarer_alerts() -> list[dict[str, Any]]:
    """What the sample's incidents do not have, by the encoder that the flow has."""
    strange = {"time": 5, "ip": "203.0.113", "actor_type": "service", "tenant": "globex"}
    related = (Related("cd" * 16, "brute_force_user", "user", "sam@example.com", 3),)
    reasons = (Reason("calls", 0.98, 0.02, 0.31),)
    learned = next(at for at, rule in enumerate(default_rules()) if rule.id.startswith("behaviour"))
    joint = {"ip_user": (("ip", "203.0.113.7"), ("user", "sam")), "ip_endpoint": (("ip", "::1"), ("endpoint", "/a"))}
    made = [
        alert_record(evidences=(EVENT, strange), related=related, related_count=1, incident="cd" * 16),
        alert_record(learned, reasons=reasons, feature="behaviour", expected=0.1, z=3.0, evidences=(EVENT,)),
        alert_record(digest=12, related=related, activity=CLOSE),
        alert_record(suppressed_by="exception pentest", failed_users=3, succeeded_users=0, front=False),
        *(alert_record(dimension=name, joint=parts) for name, parts in joint.items()),
    ]
    return [json.loads(one) for one in made]


def odd_events() -> Iterator[dict[str, Any]]:
    """Members that cannot be read, an event of six incidents, one whose clock is ahead; none has an id."""
    yield {"time": "2026-11-23T05:00:00Z", "user": "u-1", "ip": "-", "status": "abc"}
    for minute in (0, 3):
        for second in range(10, 18):
            time = f"2026-11-23T05:0{minute}:{second}Z"
            yield {"time": time, "user": "u-9", "action": "login", "outcome": "failure"}
    yield {"time": "2026-11-23T09:00:00Z", "user": "u-2"}
    yield {"time": "2026-11-23T05:03:30Z", "user": "u-2"}


def test_every_member_of_a_real_runs_alerts_is_in_the_table(detected: Path) -> None:
    found = read(detected / "out" / "alerts.ndjson")
    unknown, missing = wrong(found, ALERT)
    assert unknown == set()
    assert len(missing) < 25
    assert wrong(found + rarer_alerts(), ALERT) == (set(), set())


def test_every_member_of_a_real_runs_scored_events_is_in_the_table(detected: Path, tmp_path: Path) -> None:
    with (detected / "out" / "scored.ndjson").open("rb") as file:
        found = [{"lapwing": json.loads(line)["lapwing"]} for line in file]
    odd = tmp_path / "odd.ndjson"
    odd.write_text("".join(json.dumps(event) + "\n" for event in odd_events()))
    several = "".join(f'[[detection]]\nid = "b{i}"\ntype = "brute_force_user"\nat_least = 3\n' for i in range(6))
    (tmp_path / "config.toml").write_text(several)
    done = lapwing("detect", "--config", tmp_path / "config.toml", "--input", odd, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found += [{"lapwing": line["lapwing"]} for line in read(tmp_path / "out" / "scored.ndjson")]
    assert wrong(found, SCORED) == (set(), RARE)


def test_the_examples_are_of_the_fields_types() -> None:
    for field in (*ALERT, *SCORED):
        assert TYPES[type(json.loads(field.example))] == JSON_TYPES[field.type], field.path
        assert field.meaning
        assert not re.search(r"[|\n]", field.meaning + field.unit + field.example)
    paths = [field.path for field in (*ALERT, *SCORED)]
    assert len(set(paths)) == len(paths)


def test_what_is_made_of_the_table_is_up_to_date() -> None:
    stale = [str(path.relative_to(ROOT)) for path, made in files().items() if path.read_bytes() != made]
    assert stale == [], "run make docs"


@pytest.mark.parametrize(("kind", "table"), [("alert", ALERT), ("scored", SCORED)])
def test_the_template_maps_every_field_once(kind: str, table: tuple[Field, ...]) -> None:
    template = json.loads(index_template(kind))
    found = template["template"]["mappings"]["properties"]
    for field in table:
        part: Any = {"properties": found}
        for step in field.path.replace("[]", "").split("."):
            part = part["properties"][step]
        assert part["type"] == {"text": "match_only_text", "float": "double"}.get(field.type, field.type)
    assert found == mapping(table)
    assert template["template"]["mappings"]["dynamic"] is False


def test_a_documents_fields_are_mapped() -> None:
    template = json.loads((ROOT / "deploy" / "siem" / "elasticsearch" / "lapwing-ecs.index-template.json").read_text())
    found = template["template"]["mappings"]["properties"]
    assert found["source"]["properties"]["ip"] == {"type": "ip"}
    assert found["source"]["properties"]["geo"]["properties"]["location"] == {"type": "geo_point"}
    assert found["lapwing"]["properties"]["scores"]["properties"]["ip"]["properties"]["score"] == {"type": "float"}
    assert found["@timestamp"] == {"type": "date"}


def test_splunk_finds_the_time_that_lapwing_wrote() -> None:
    text = props()
    prefixes = re.findall(r"^TIME_PREFIX = (.*)$", text, re.MULTILINE)
    forged = '{"time":"x","changes":[{"a":1,"lapwing":{"v":1,"time":1}}],"lapwing":{"v":1,"time":1795410000123}}'
    found = re.search(prefixes[1], forged)
    assert found
    assert forged[found.end() : found.end() + 13] == "1795410000123"
    line = alert_record().decode()
    assert line[re.match(prefixes[0], line).end() :][:13].isdigit()  # type: ignore[union-attr]
    assert set(re.findall(r"^\[(.*)\]$", text, re.MULTILINE)) == {"ocsf:detection_finding", "lapwing:scored"}


def test_lapwing_fields() -> None:
    code, out, _ = command("fields", "--json")
    assert code == 0
    assert [one["path"] for one in json.loads(out)["alert"]] == [field.path for field in ALERT]
    code, out, _ = command("fields", "scored")
    assert code == 0
    assert len(out.splitlines()) == 1 + len(SCORED)
    assert command("fields", "nothing")[0] == 2
