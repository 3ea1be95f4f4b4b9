"""What a SIEM is sent reads back as what was put in, whatever an attacker wrote into it."""

import json
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.formats.ecs import CLASSES
from flows.formats.siem import ENCODERS, at_least, risk, slim
from flows.formats.siem_event import Form, NoRecord
from models.base import ACTIONS
from models.rules import default_rules
from tests import ecs_fields, siem_parsers
from tests.siem_docs import alert_record, scored_record
from tests.siem_parsers import coded, cut
from tests.test_ocsf import ENTITY, EVENT

SCHEMA = jsonschema.Draft202012Validator(json.loads((Path(__file__).parent / "ocsf-1.8.0.schema.json").read_text()))
PIECES = (
    "|", "=", "\\", "]", '"', "^", "\n", "\r\n", "\t", " ", "\x00", "\x1b[2J", "\u2028", "\u2029", "\u0085", "\ufeff",
    "\u202e", "\U0001f600", "a", "suser=root", " act=none ", '"] [x@1 y="', "\nCEF:0|x|y|1|z|z|10|", "^sev=10",
    "\\u000a", "\\n", '","lapwing":{"risk":0', "\ue000",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), min_size=1, max_size=8).map("".join)
LONG = st.tuples(HOSTILE, st.integers(250, 300)).map(lambda of: (of[0] * of[1])[: of[1]])
TEXT = (HOSTILE | LONG).map(lambda text: text.encode("utf-8", "replace").decode()).filter(str.strip)
FREE = ("user", "actor", "target", "session", "request_id", "device", "app", "user_agent", "city", "tenant")
"""Members of any text: what stands in them is the sender's alone."""
RULES = default_rules()


def line_of(form: Form, found: bytes, kind: Any = "scored") -> str:
    line = ENCODERS[form](found, kind).decode()
    assert len(line.splitlines()) == 1
    assert "\n" not in line
    return line


@settings(max_examples=60)
@given(st.fixed_dictionaries(dict.fromkeys(FREE, TEXT)).filter(lambda texts: texts["user"][:99] != texts["actor"][:99]))
def test_an_event_reads_back_in_every_form(texts: dict[str, str]) -> None:
    found = scored_record(EVENT | texts)
    plain = scored_record(EVENT)
    head, pairs = siem_parsers.cef(line_of("cef", found))
    usual_head, usual = siem_parsers.cef(line_of("cef", plain))
    assert (head, [*pairs]) == (usual_head, [*usual])
    assert pairs["requestClientApplication"] == coded(texts["user_agent"], "\r\n")
    assert pairs["suid"] == coded(texts["actor"], "\r\n")
    assert pairs["duid"] == coded(texts["target"], "\r\n")
    assert pairs["sourceServiceName"] == coded(texts["app"], "\r\n")
    assert pairs["cs6"] == coded(texts["tenant"], "\r\n")

    head, pairs = siem_parsers.leef(line_of("leef", found))
    usual_head, usual = siem_parsers.leef(line_of("leef", plain))
    assert (head, [*pairs]) == (usual_head, [*usual])
    names = {"userAgent": "user_agent", "userId": "user", "actorId": "actor", "accountName": "target", "city": "city"}
    for name, member in names.items():
        assert pairs[name] == coded(texts[member], end="^")

    header, pairs, _ = siem_parsers.syslog(line_of("syslog", found))
    usual_header, usual, _ = siem_parsers.syslog(line_of("syslog", plain))
    assert (header, [*pairs]) == (usual_header, [*usual])
    for name in FREE:
        assert pairs[name] == coded(texts[name])

    fields = siem_parsers.ecs(line_of("ecs", found))
    assert fields.keys() == siem_parsers.ecs(line_of("ecs", plain)).keys()
    assert fields["user_agent.original"] == cut(texts["user_agent"], 256)
    assert fields["user.id"] == cut(texts["actor"], 256)
    assert fields["user.target.id"] == cut(texts["target"], 256)
    assert fields["organization.id"] == cut(texts["tenant"], 256)

    hec = json.loads(line_of("hec", found))
    assert hec["event"] == json.loads(found)
    assert hec["fields"]["tenant"] == cut(texts["tenant"], 256)

    ocsf = json.loads(line_of("ocsf", found))
    SCHEMA.validate(ocsf)
    assert ocsf["http_request"]["user_agent"] == cut(texts["user_agent"], 256)
    assert ocsf["actor"]["user"]["uid"] == cut(texts["actor"], 256)


@settings(max_examples=40)
@given(ENTITY, ENTITY, HOSTILE, st.sampled_from(range(len(RULES))))
def test_an_alert_reads_back_in_every_form(entity: str, tenant: str, agent: str, rule_at: int) -> None:
    found = alert_record(rule_at, entity=entity, tenant=tenant, evidences=(EVENT | {"user_agent": agent},))
    published = json.loads(found)
    name, sentence = published["unmapped"]["entity"], published["message"]
    _, pairs = siem_parsers.cef(line_of("cef", found, "alert"))
    assert pairs["cs3"] == coded(name, "\r\n")
    assert pairs["msg"] == cut(sentence, 1023)
    assert pairs["cs6"] == coded(published["metadata"]["tenant_uid"], "\r\n")
    assert pairs["externalId"] == published["metadata"]["uid"]
    _, pairs = siem_parsers.leef(line_of("leef", found, "alert"))
    assert pairs["entity"] == coded(name, end="^")
    assert pairs["tenant"] == coded(published["metadata"]["tenant_uid"], end="^")
    header, pairs, text = siem_parsers.syslog(line_of("syslog", found, "alert"))
    assert (pairs["entity"], text) == (coded(name), cut(sentence, 1023))
    assert datetime.fromisoformat(header["time"]).timestamp() * 1000 == published["time"]
    fields = siem_parsers.ecs(line_of("ecs", found, "alert"))
    assert (fields["lapwing.entity"], fields["message"]) == (name, cut(sentence, 1023))
    assert fields["rule.id"] == published["metadata"]["event_code"]
    check_ecs(fields)
    assert json.loads(line_of("ocsf", found, "alert")) == published
    assert json.loads(line_of("hec", found, "alert"))["event"] == published


def check_ecs(fields: dict[str, Any]) -> None:
    table = ecs_fields.FIELDS | ecs_fields.OWN
    assert {name.removesuffix(".lat").removesuffix(".lon") for name in fields} <= table.keys()
    for name, value in fields.items():
        kind = table.get(name)
        if isinstance(kind, list):
            assert isinstance(value, list)
            assert value
        for one in value if isinstance(kind, list) else [value]:
            match kind[0] if isinstance(kind, list) else kind:
                case "keyword" | "match_only_text":
                    assert isinstance(one, str)
                    assert one
                case "long":
                    assert type(one) is int
                case "float":
                    assert type(one) is float
                case "boolean":
                    assert type(one) is bool
                case "date":
                    datetime.fromisoformat(one)
                case "ip":
                    ip_address(one)
    allowed = set().union(*(ecs_fields.TYPES_OF[category] for category in fields["event.category"]))
    assert set(fields["event.type"]) <= allowed
    assert fields["event.kind"] in ("alert", "event")
    assert fields["event.outcome"] in ("success", "failure", "unknown")


@pytest.mark.parametrize("outcome", ["success", "failure", "challenge", "blocked", "unknown"])
@pytest.mark.parametrize("action", [*ACTIONS, "no such action"])
def test_every_action_is_valid_ecs_and_ocsf(action: str, outcome: str) -> None:
    for event in (EVENT, {"time": EVENT["time"], "endpoint": "/a"}, {"time": 1_795_410_000, "ip": "2001:db8::7"}):
        for own in ({}, {"risk": None, "scores": {}, "alerts": []}):
            found = scored_record(event | {"action": action, "outcome": outcome}, **own)
            fields = siem_parsers.ecs(line_of("ecs", found))
            check_ecs(fields)
            assert ("event.risk_score" in fields) == ("risk" not in own)
            ocsf = json.loads(line_of("ocsf", found))
            SCHEMA.validate(ocsf)
            assert ocsf["type_uid"] == ocsf["class_uid"] * 100 + ocsf["activity_id"]
            assert ("risk_score" in ocsf) == ("risk" not in own)
            assert [one["data"] for one in ocsf["enrichments"]] == [*json.loads(found)["lapwing"]["scores"].values()]
            for form in ENCODERS:
                line_of(form, found)


def test_every_action_has_a_class() -> None:
    assert CLASSES.keys() == set(ACTIONS)


def test_native_classes() -> None:
    def native(**members: Any) -> tuple[int, int]:
        found = json.loads(line_of("ocsf", scored_record(EVENT | members)))
        return found["class_uid"], found["activity_id"]

    assert native(action="login") == (3002, 1)
    assert native(action="account_delete") == (3001, 6)
    assert native(action="data_read") == (6003, 2)
    assert native(action="api_call", method="DELETE") == (6003, 4)
    assert native(action="api_call", method="BREW") == (6003, 99)


def test_who_acted_is_not_who_it_was_done_to() -> None:
    same = siem_parsers.ecs(line_of("ecs", scored_record(EVENT | {"actor": "u-17", "target": ""})))
    assert (same["user.id"], same["user.name"]) == ("u-17", "sam@example.com")
    assert "user.target.id" not in same
    other = siem_parsers.ecs(line_of("ecs", scored_record(EVENT | {"target": ""})))
    assert (other["user.id"], other["user.target.id"], other["user.target.name"]) == ("u-18", "u-17", "sam@example.com")
    assert "user.name" not in other


def test_an_ipv6_address_has_its_own_key_in_cef() -> None:
    _, pairs = siem_parsers.cef(line_of("cef", scored_record(EVENT | {"ip": "2001:db8::7"})))
    assert (pairs["c6a2"], pairs["c6a2Label"]) == ("2001:db8::7", "Source IPv6 Address")
    assert "src" not in pairs


@pytest.mark.parametrize("text", ["203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7:443", "::ffff:cb00:7107"])
def test_an_address_is_the_same_however_it_is_written(text: str) -> None:
    found = scored_record(EVENT | {"ip": text})
    assert siem_parsers.cef(line_of("cef", found))[1]["src"] == "203.0.113.7"
    assert siem_parsers.ecs(line_of("ecs", found))["source.ip"] == "203.0.113.7"
    assert json.loads(line_of("ocsf", found))["src_endpoint"]["ip"] == "203.0.113.7"


def test_a_name_that_lapwing_has_not_given_is_no_key() -> None:
    names = {'a b="]\n': {"feature": "x"}, "ip": {'fe ature="]\n': "x", "feature": 'y"]\n^|= '}}
    found = scored_record(EVENT, scores=names)
    _, pairs, _ = siem_parsers.syslog(line_of("syslog", found))
    assert [name for name in pairs if name.startswith("scores")] == ["scores.ip.feature"]
    assert siem_parsers.leef(line_of("leef", found))[1]["scores.ip.feature"] == 'y"]\\u000a\\u005e|= '
    assert siem_parsers.cef(line_of("cef", found))[1]["cs1"] == 'y"]\n^|= '


def test_an_id_that_is_too_long_for_cef_is_whole_elsewhere() -> None:
    uid = "9" * 60
    _, pairs = siem_parsers.cef(line_of("cef", scored_record(EVENT | {"id": uid})))
    assert (pairs["cs5"], pairs["cs5Label"]) == (uid, "id")
    assert "externalId" not in pairs


def test_every_detection_id_stands_in_the_header() -> None:
    for rule_at, rule in enumerate(RULES):
        head, _ = siem_parsers.cef(line_of("cef", alert_record(rule_at), "alert"))
        assert (head[4], head[6]) == (rule.id, "5")


def test_slim_has_ids_and_scores_only() -> None:
    found = scored_record(EVENT | {"ip": "203.0.113.99"})
    thin = slim(found)
    assert json.loads(thin) == {
        "time": 1_795_410_000_123, "id": "evt-1", "tenant": "acme", "lapwing": json.loads(found)["lapwing"],
    }  # fmt: skip
    for form, encode in ENCODERS.items():
        line = encode(thin, "scored").decode()
        assert "evt-1" in line
        assert "0.9998" in line, form
        assert not [secret for secret in ("203.0.113", "sam@", "u-17", "u-18", "Mozilla", "s-5") if secret in line]


def test_an_event_without_id_has_the_one_it_was_given() -> None:
    members = {name: value for name, value in EVENT.items() if name != "id"}
    found = scored_record(members, id="cd" * 16)
    assert siem_parsers.ecs(line_of("ecs", found))["event.id"] == "cd" * 16
    assert json.loads(slim(found))["id"] == "cd" * 16


@pytest.mark.parametrize(
    ("least", "known", "passes"), [(0, 0, True), (60, 59, False), (60, 60, True), (1, None, False)]
)
def test_least_risk(least: int, known: int | None, passes: bool) -> None:
    found = scored_record(EVENT, risk=known)
    assert (risk(found, "scored"), at_least(found, "scored", least)) == (known, passes)
    assert at_least(found, "scored", 0)
    assert at_least(alert_record(), "alert", 60)
    assert not at_least(alert_record(), "alert", 61)


@pytest.mark.parametrize("kind", ["alert", "scored"])
@pytest.mark.parametrize(
    "found", [b"", b"{", b"[]", b"{}", b'{"lapwing":1}', b"\xff", b'{"class_uid":2004}', b"[" * 9999]
)
def test_what_is_no_record_is_refused(found: bytes, kind: Any) -> None:
    for encode in ENCODERS.values():
        with pytest.raises(NoRecord) as caught:
            encode(found, kind)
        assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.sampled_from([alert_record(), scored_record(EVENT)]), st.data())
def test_any_bytes_are_a_line_or_no_record(found: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(found)))
    broken = found[:at] + data.draw(st.sampled_from([b"", b"\x00", b"null", b"{", b"1e999", b'"'])) + found[at + 1 :]
    for kind in ("alert", "scored"):
        try:
            line_of("cef", broken, kind)
            line_of("ocsf", broken, kind)
        except NoRecord:
            continue
