"""The one sentence of an alert: enough to act on, and nobody else's words."""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.formats.explain import message, name
from flows.formats.ocsf import encode_alert
from models.alert import CLOSE, CREATE, UPDATE, Alert, Reason, Related
from models.rules import about, default_rules
from tests.findings import RULES, START, Life

EVIDENCES = tuple(
    {"username": f"{who}@example.com", "ip": f"203.0.113.{i}"} for i, who in enumerate(["sam", "kim", "ana", "lea"])
)
ENTITIES = {"user": "sam@example.com", "ip": "203.0.113.77", "endpoint": "/v2/auth/login", "tenant": "acme"}


REASONS = (Reason("crowd_calls", 0.8312, 0.04111, 0.0311), Reason("volume", 0.71, 0.2, 0.0101))


def alerts_of(rule: str) -> list[Alert]:
    """A life's create, update and close."""
    dimension = Life(rule, "x", 0).alerts()[0].dimension
    expected = 31.4 if rule.startswith("traffic") else None
    life = Life(rule, ENTITIES[dimension], 0, evidences=EVIDENCES, count=412)
    reasons = REASONS if rule.startswith("behaviour") else ()
    return [
        msgspec.structs.replace(alert, expected=expected, z=expected and 55.5, reasons=reasons)
        for alert in life.alerts()
    ]


def told(alert: Alert) -> str:
    return message(alert, about(RULES[alert.detection]), RULES[alert.detection])


def test_every_detection_in_every_stage(golden: Callable[[str, bytes], None]) -> None:
    lines = [told(alert) for rule in RULES for alert in alerts_of(rule)]
    create = alerts_of("password_spray_ip")[0]
    other = Related("cd" * 16, "brute_force_user", "user", "sam@example.com", 12)
    for members in (
        {"failed_users": 21, "succeeded_users": 1},
        {"incident": create.uid, "related": (other,), "related_count": 3},
        {"incident": other.uid, "front": False, "related": (other,), "related_count": 1},
        {"incident": other.uid, "front": False},
        {"suppressed_by": "exception pentest"},
        {"suppressed_by": f"digest {other.uid}"},
        {"digest": 350, "value": 350.0, "limit": 50.0, "dimension": "tenant", "entity": "acme", "related": (other,) * 4,
         "related_count": 350, "evidences": ()},
        {"digest": 1, "value": 1.0, "limit": 50.0, "dimension": "tenant", "entity": "acme", "related": (other,),
         "related_count": 1, "evidences": ()},
    ):  # fmt: skip
        lines.append(told(msgspec.structs.replace(create, **members)))
    golden("messages.txt", "".join(line + "\n" for line in lines).encode())


def test_every_detection_says_what_to_do() -> None:
    texts = [about(rule).remediation for rule in default_rules()]
    assert len(set(texts)) >= len({rule.__class__ for rule in default_rules()})
    for text in texts:
        assert text.startswith("1. ")
        assert "2. " in text
        assert len(text) < 400


@pytest.mark.parametrize(
    ("limit", "expected", "silent"), [(200.0, None, 199), (200.0, 31.4, 199), (200.0, 100.0, 400), (200.0, 100.1, 400)]
)
def test_what_would_not_have_fired(limit: float, expected: float | None, silent: int) -> None:
    alert = msgspec.structs.replace(alerts_of("traffic_spike_ip")[0], limit=limit, expected=expected)
    assert f"; not at {silent} or fewer, nor up to 4 times the learned mean" in told(alert)


NAMES = st.text(st.characters(), min_size=1, max_size=400) | st.sampled_from(
    [
        "a; not an attack",
        'x" (limit 0), since 1970',
        "sam\r\n\x1b[2J",
        "\u202egnp.exe",
        "\ud800",
        "<b>",
        "`id`",
        "\u2028",
        "a" * 999,
    ]
)


@given(
    st.sampled_from(list(RULES)), NAMES, NAMES, st.sampled_from([CREATE, UPDATE, CLOSE]), st.booleans(), st.booleans(),
    st.integers(0, 2**40), st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e15),
)  # fmt: skip
def test_no_name_can_write_the_sentence(
    rule: str, entity: str, other: str, activity: int, front: bool, digest: bool, count: int, value: float
) -> None:
    related = (Related("ef" * 16, rule, "user", other, count),) * 5
    alert = msgspec.structs.replace(
        alerts_of(rule)[0], entity=entity, tenant=entity, activity=activity, count=count, value=value,
        incident="ef" * 16, front=front, related=related, related_count=count, digest=count if digest else 0,
        evidences=({"username": other, "ip": other}, {"username": entity, "ip": entity}),
        suppressed_by=f"exception {other}",
    )  # fmt: skip
    text = told(alert)
    assert len(text) <= 2000
    assert not [char for char in text if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029"]
    quiet = told(msgspec.structs.replace(alert, entity="x", tenant="x", related=(), evidences=()))
    assert text.split(":")[0] == quiet.split(":")[0]
    line: dict[str, Any] = json.loads(encode_alert(alert, about(RULES[rule]), RULES[rule], 0, "0"))
    assert line["message"] == text


@given(NAMES)
def test_a_name_is_short_and_cannot_end_its_quotes(text: str) -> None:
    shown = name(text, 64)
    assert len(shown) <= 66
    if shown[0] == '"' and len(shown) > 1:
        assert shown[-1] == '"'
        assert '"' not in shown[1:-1]
    else:
        assert not any(char.isspace() or char in ";,()\"'<>`" for char in shown)


def test_the_start_is_the_first_counted_pane() -> None:
    assert "since 2026-11-23 05:00:00 UTC" in told(alerts_of("brute_force_ip")[0])
    assert START % 3_600_000_000 == 0
