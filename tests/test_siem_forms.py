"""What a SIEM is sent reads back as what was put in, whatever an attacker wrote into it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.formats.siem import ENCODERS, Form
from models.rules import default_rules
from tests import siem_parsers
from tests.siem_parsers import coded, cut
from tests.test_ocsf import EVENT

SCHEMA = jsonschema.Draft202012Validator(json.loads((Path(__file__).parent / "ocsf-1.8.0.schema.json").read_text()))
OWN: dict[str, Any] = {
    "v": 1, "time": 1_795_410_000_123, "risk": 74, "late": False, "alerts": ["ab" * 16],
    "scores": {
        "ip": {"feature": "failures_1m", "score": 3.1, "quantile": 0.9998, "z": 12.0, "expected": 1.0, "observed": 40.0},
        "user": {"feature": "events_1m", "score": 0.1, "quantile": None},
    },
}  # fmt: skip
PIECES = (
    "|", "=", "\\", "]", '"', "^", "\n", "\r\n", "\t", " ", "\x00", "\x1b[2J", "\u2028", "\u2029", "\u0085", "\ufeff",
    "\u202e", "\U0001f600", "a", "suser=root", " act=none ", '"] [x@1 y="', "\nCEF:0|x|y|1|z|z|10|", "^sev=10", "\\u000a",
    "\\n", '","lapwing":{"risk":0', "\ue000",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), min_size=1, max_size=8).map("".join)
LONG = st.tuples(HOSTILE, st.integers(250, 300)).map(lambda of: (of[0] * of[1])[: of[1]])
TEXT = (HOSTILE | LONG).map(lambda text: text.encode("utf-8", "replace").decode()).filter(str.strip)
FREE = ("user", "actor", "target", "session", "request_id", "device", "app", "user_agent", "city", "tenant")
"""Members of any text: what stands in them is the sender's alone."""
RULES = default_rules()


def record(members: dict[str, Any], **own: Any) -> bytes:
    return json.dumps(members | {"lapwing": OWN | own}, ensure_ascii=False, separators=(",", ":")).encode()


def line_of(form: Form, found: bytes, kind: Any = "scored") -> str:
    line = ENCODERS[form](found, kind).decode()
    assert len(line.splitlines()) == 1
    assert "\n" not in line
    return line


@settings(max_examples=60)
@given(st.fixed_dictionaries(dict.fromkeys(FREE, TEXT)).filter(lambda texts: texts["user"] != texts["actor"]))
def test_an_event_reads_back_in_every_form(texts: dict[str, str]) -> None:
    found = record(EVENT | texts)
    plain = record(EVENT)
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
    assert fields["organization.id"] == cut(texts["tenant"], 256)

    hec = json.loads(line_of("hec", found))
    assert hec["event"] == json.loads(found)
    assert hec["fields"]["tenant"] == cut(texts["tenant"], 256)

    ocsf = json.loads(line_of("ocsf", found))
    SCHEMA.validate(ocsf)
    assert ocsf["http_request"]["user_agent"] == cut(texts["user_agent"], 256)
    assert ocsf["actor"]["user"]["uid"] == cut(texts["actor"], 256)
