"""Threshold detections: every fault with its path, what they compile to, and the base detections in the language."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.durations import microseconds
from flows.structure import structure
from models.rules import Rule, attacks, default_rules, span, threshold
from models.rules import about as about_built_in
from models.rules.base_detection import BaseDetection
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.defaults import BASE
from models.rules.describe import describe, signature
from models.rules.expression import parse
from models.rules.flatten import MAX_LEAVES, MAX_MARKS
from models.rules.level_anomaly import LevelAnomaly
from models.rules.members import BOOLEANS, TYPES
from models.rules.mix_anomaly import MixAnomaly
from models.rules.program import EVERY, FIRST_HASH, NO_METER, Bound, Meter, compile_rules
from models.rules.threshold import Condition, Threshold, faults
from tests.test_expression import KNOWN

MINUTE = 60_000_000
ROOT = Path(__file__).parents[1]


def read(text: str) -> tuple[Threshold, list[str]]:
    """The first detection of a TOML text, and all faults of it."""
    found: list[str] = []
    rule = structure(Threshold, tomllib.loads(text)["detection"][0], "$.detection[0]", found)
    return rule, found + faults(rule, "$.detection[0]")


def told(body: str) -> list[str]:
    return read("[[detection]]\ntype = 'threshold'\n" + body)[1]


def test_a_detection_in_toml() -> None:
    rule, found = read(
        """
        [[detection]]
        type = "threshold"
        id = "curl_spray"
        by = ["user", "ip"]
        where = 'failure and user_agent startswith "curl/"'
        distinct = "session"
        window = "30m"
        at_least = 15
        at_least_events = 25
        also = {sum = "latency_ms", at_least = 2.5}
        unless = [{distinct = "device", where = "success", times = 1.0}, {count = true, at_least = 900}]
        severity = "high"
        confidence = 70
        title = "Spray with curl"
        attacks = [{tactic = "TA0006", technique = "T1110", sub_technique = "T1110.003"}]
        quiet = "1h"
        """
    )
    assert found == []
    assert rule.dimensions == ("ip", "user")
    assert rule.also == Condition(sum="latency_ms", at_least=2.5)
    assert rule.unless == (
        Condition(distinct="device", where="success", times=1.0),
        Condition(count=True, at_least=900),
    )
    assert (rule.window_us, rule.quiet_us) == (30 * MINUTE, 60 * MINUTE)
    about = rule.about
    assert about.attacks[0].sub_technique_name == "Password Spraying"
    assert (about.title, about.measure, about.confidence) == ("Spray with curl", "different values of session", 70)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("count = true", []),
        ("", ["Expected exactly one of count = true, distinct, ratio and sum, got none - at $.detection[0]"]),
        (
            "count = true\nsum = 'lat'",
            ["Expected exactly one of count = true, distinct, ratio and sum, got count and sum - at $.detection[0]"],
        ),
        (
            "count = true\nwhere = 'status >= \"abc\"'",
            ["at column 11: expected a number, got 'abc' - at $.detection[0].where"],
        ),
        (
            "ratio = 'eror'\nat_least = 0.5\nat_least_events = 9",
            ["at column 1: unknown member 'eror', did you mean error? - at $.detection[0].ratio"],
        ),
        (
            "ratio = 'error'\nat_least = 1.5",
            [
                "Expected a share of at most 1.0, got 1.5 - at $.detection[0].at_least",
                "A ratio needs a least number of events - at $.detection[0].at_least_events",
            ],
        ),
        ("count = true\nat_least = 2.5", ["Expected a whole number, got 2.5 - at $.detection[0].at_least"]),
        ("count = true\nat_least = 0", ["Expected float > 0.0 - at $.detection[0].at_least"]),
        ("count = true\nat_least = 1e10", ["Expected at most 1000000000, got 1e+10 - at $.detection[0].at_least"]),
        ("count = true\nat_least_events = 5", ["A count has at_least alone - at $.detection[0].at_least_events"]),
        ("distinct = 'ip'\nby = 'ip'", ["One ip has always one ip - at $.detection[0].distinct"]),
        ("distinct = 'tenant'", ["One user has always one tenant - at $.detection[0].distinct"]),
        ("sum = 'user'", ["Expected one of status, asn, lat, lon, latency_ms, got 'user' - at $.detection[0].sum"]),
        ("count = true\nby = ['ip', 'ip']", ["Expected two different dimensions - at $.detection[0].by"]),
        (
            "count = true\nby = ['ip', 'tenant']",
            ['Every entity is its tenant\'s own already: write by = "ip" - at $.detection[0].by'],
        ),
        (
            "count = true\nby = ['ip', 'user', 'endpoint']",
            ["Expected array of length <= 2 - at $.detection[0].by"],
        ),
        (
            "count = true\nwindow = '48h'",
            [
                "Expected a multiple of 5s up to 115s, 30s up to 28m, 1m up to 59m, 5m up to 310m, 30m up to 31h, got "
                '"48h" - at $.detection[0].window'
            ],
        ),
        (
            "count = true\nwindow = 600",
            ['Expected a duration, got the bare number 600: write it as "10m" - at $.detection[0].window'],
        ),
        ("count = true\nquiet = '5m'", ["Expected at least the window (10m) - at $.detection[0].quiet"]),
        (
            "count = true\nquiet = '900ms'",
            ["Expected a duration such as \"10m\", got '900ms' - at $.detection[0].quiet"],
        ),
        (
            "count = true\nunless = {count = true}",
            ["Expected exactly one of at_least and times - at $.detection[0].unless"],
        ),
        (
            "count = true\nalso = [{count = true, at_least = 1}, {distinct = 'x', at_least = 0.5, times = 2}]",
            [
                "Expected one of tenant, action, outcome, reason, user, username, actor, target, ip, endpoint, status, "
                "error_code, error, actor_type, session, api_key, request_id, factor, ip_type, asn, country, city, "
                "lat, lon, device, user_agent, app, app_version, method, latency_ms, got 'x'"
                " - at $.detection[0].also[1].distinct",
                "Expected exactly one of at_least and times - at $.detection[0].also[1]",
                "Expected a whole number, got 0.5 - at $.detection[0].also[1].at_least",
            ],
        ),
        (
            "count = true\nunless = {ratio = 'late', times = 2}",
            ["A ratio and a number of events cannot be compared: write at_least - at $.detection[0].unless.times"],
        ),
        (
            "count = true\nattacks = [{tactic = 'TA6', technique = 'T9999', sub_technique = 'T1110.003'}]",
            [
                "Expected an ATT&CK id such as \"TA0006\", got 'TA6' - at $.detection[0].attacks[0].tactic",
                "The name of T9999 is not known here: give it as technique_name - at "
                "$.detection[0].attacks[0].technique",
                "Expected a sub-technique of 'T9999', got T1110.003 - at $.detection[0].attacks[0].sub_technique",
            ],
        ),
        ("count = true\natleast = 5", ['Unknown key "atleast", did you mean "at_least"? - at $.detection[0]']),
        (
            "count = true\nseverity = 'hgh'",
            [
                'Expected one of low, medium, high, critical, got "hgh", did you mean "high"? - at '
                "$.detection[0].severity"
            ],
        ),
        (
            "where = 'x'\nwindow = '7s'\nconfidence = 101\nunless = {}",
            [
                "Expected int <= 100 - at $.detection[0].confidence",
                f"at column 1: unknown member 'x'{KNOWN} - at $.detection[0].where",
                "Expected exactly one of count = true, distinct, ratio and sum, got none - at $.detection[0]",
                "Expected exactly one of count = true, distinct, ratio and sum, got none - at $.detection[0].unless",
                "Expected exactly one of at_least and times - at $.detection[0].unless",
                "Expected a multiple of 5s up to 115s, 30s up to 28m, 1m up to 59m, 5m up to 310m, 30m up to 31h, got "
                '"7s" - at $.detection[0].window',
            ],
        ),
    ],
)
def test_every_fault_at_once_with_its_path(body: str, faults: list[str]) -> None:
    assert told(body) == faults


def test_every_usual_window_has_its_fixed_pane_and_any_other_the_finest() -> None:
    usual = {"1m": "5s", "5m": "30s", "10m": "30s", "15m": "1m", "60m": "5m", "24h": "30m"}
    assert {window: span.spell(span.pane_of(microseconds(window))) for window in usual} == usual
    for seconds in range(1, 40 * 3600):
        window = seconds * 1_000_000
        fitting = [pane for pane in span.PANES if window % pane == 0 and window // pane <= span.MOST_PANES[pane]]
        found = span.pane_of(window)
        assert found in fitting if fitting else found == 0
        if span.spell(window) not in ("5m", "10m", "15m", "1h", "24h"):
            assert found == min(fitting, default=0)
    for text in ("5s", "90s", "10m", "24h", "7d"):
        assert span.microseconds(text) == microseconds(text)


def test_quiet_is_the_window_but_ten_minutes_at_least() -> None:
    quiet = {window: Threshold(count=True, window=window).quiet_us for window in ("1m", "10m", "60m")}
    assert quiet == {"1m": 10 * MINUTE, "10m": 10 * MINUTE, "60m": 60 * MINUTE}
    assert Threshold(count=True, window="1m", quiet="2m").quiet_us == 2 * MINUTE


def test_a_meters_signature_hangs_on_nothing_else() -> None:
    rules = [*BASE, Threshold(id="own", by=("user", "ip"), where="late", sum="lat", window="24h")]
    one, other = compile_rules(rules), compile_rules(rules[::-1])
    ours = {signature(one, k) for k in range(len(one.meters))}
    assert ours == {signature(other, k) for k in range(len(other.meters))}
    assert len(ours) == len(one.meters)
    assert "ip+user: lat in sum where late, 24h/30m" in ours


def test_equal_parts_are_shared() -> None:
    spray = Threshold(
        id="spray",
        by="ip",
        where="failure",
        distinct="user",
        window="15m",
        at_least=15,
        at_least_events=20,
        unless=Condition(where="success", distinct="user", times=1.5),
    )
    share = Threshold(
        id="share", by="ip", where="(failure)", ratio="late", window="15m", at_least=0.5, at_least_events=10
    )
    every = Threshold(id="every", by="ip", count=True, window="15m", at_least=900)
    program = compile_rules([spray, share, every])
    assert program.marks == ("failure", "success", "failure and late")
    common: dict[str, Any] = {"by": (1,), "window": 15 * MINUTE, "pane": MINUTE}
    assert program.meters == (
        Meter(kind="distinct", mark=0, source=3, **common),
        Meter(kind="count", mark=0, source=0, **common),
        Meter(kind="distinct", mark=1, source=3, **common),
        Meter(kind="count", mark=2, source=0, **common),
        Meter(kind="count", mark=EVERY, source=0, **common),
    )
    assert all(meter.panes == 15 for meter in program.meters)
    first, second, third = program.detections
    assert (first.main, first.counted, first.floor, first.at_least_events) == (Bound(0, at_least=15.0), 1, 1, 20)
    assert first.unless == (Bound(2, times=1.5),)
    assert (second.main, second.counted, second.floor) == (Bound(3, of=1, at_least=0.5), 3, 1)
    assert (third.main, third.counted, third.floor) == (Bound(4, at_least=900.0), 4, NO_METER)
    assert [one.monotone for one in program.detections] == [False, False, True]
    assert program.late


def test_what_is_counted_and_summed_has_a_column() -> None:
    rules = [
        Threshold(id="a", where="failure", distinct="session"),
        Threshold(id="b", where="success", distinct="session"),
        Threshold(id="c", distinct="device"),
        Threshold(id="d", distinct="ip"),
        Threshold(id="e", where="late", sum="latency_ms"),
    ]
    program = compile_rules(rules)
    assert program.hashes == ("session", "device")
    assert program.numbers == ("latency_ms",)
    assert [meter.source for meter in program.meters if meter.kind == "distinct"] == [
        FIRST_HASH, FIRST_HASH, FIRST_HASH + 1, 1
    ]  # fmt: skip
    assert [hex(bits) for bits in program.code.hash_marks.tolist()] == ["0x3", "0xffffffffffffffff"]
    assert program.code.sum_marks.tolist() == [4]


def test_bounds_over_all_detections() -> None:
    def many(texts: list[str]) -> list[Threshold]:
        return [Threshold(id=str(k), where=text, count=True) for k, text in enumerate(texts)]

    most = [f"status == {k}" for k in range(MAX_LEAVES)]
    assert len(compile_rules(many(most)).marks) == MAX_MARKS
    with pytest.raises(ValueError, match="65 different comparisons over all expressions, at most 64"):
        compile_rules(many([" or ".join(most), "status == 900"]))
    with pytest.raises(ValueError, match="65 different expressions over all detections, at most 64"):
        compile_rules(many([*most, "status == 1 or status == 2"]))


def test_what_shapes_a_meter_is_no_threshold_or_text() -> None:
    rule = Threshold(id="a", where="failure", count=True, at_least=5)
    other = Threshold(id="b", where="failure", count=True, at_least=9, severity="high", title="x", quiet="1h")
    assert compile_rules([rule]).meters == compile_rules([other]).meters == compile_rules([rule, other]).meters


@pytest.mark.parametrize("rule", BASE, ids=lambda rule: rule.id)
def test_a_base_detection_is_sound_and_says_what_it_is(rule: Threshold) -> None:
    assert faults(rule, "$") == []
    about = rule.about
    assert about.title
    assert about.measure
    assert len(about.remediation) > 40
    for attack in about.attacks:
        assert attack.tactic_name == attacks.TACTICS[attack.tactic]
        assert attack.technique_name == attacks.TECHNIQUES[attack.technique]
    assert about.attacks or rule.by == "endpoint"
    assert rule.id.rsplit("_", 1)[1] == rule.by


def test_the_first_five_say_what_their_built_in_forms_say() -> None:
    """Same ids, severities, texts and limits as the rules of DESIGN.md 10, so that uids and alerts stay the same."""
    base = {rule.id: rule for rule in BASE}
    built_in = {
        rule.id: rule for rule in default_rules() if threshold(rule) is not None and not isinstance(rule, BaseDetection)
    }
    assert built_in.keys() <= base.keys()
    for name, rule in built_in.items():
        ours, about, theirs = base[name], base[name].about, about_built_in(rule)
        assert (ours.at_least, ours.severity) == (rule.at_least, rule.severity)
        assert (about.title, about.measure, about.attacks, about.remediation, about.confidence) == (
            theirs.title, theirs.measure, theirs.attacks, theirs.remediation, theirs.confidence
        )  # fmt: skip
        assert ours.quiet_us == microseconds(rule.quiet)
    assert base["brute_force_ip"].unless == Condition(distinct="user", at_least=5)
    assert base["password_spray_ip"].unless == Condition(where="success", distinct="user", times=1.0)


def test_the_base_detections_share_what_they_meter() -> None:
    program = compile_rules(BASE)
    assert program.marks == (
        "failure", "success", 'success and action in ("login", "mfa_challenge")',
        'failure and reason == "unknown_user"', "deletion", "reset", "error and not failure", "status >= 500",
    )  # fmt: skip
    assert program.hashes == ("target",)
    assert len(program.meters) == len({*program.meters}) == 26


def test_what_check_shows() -> None:
    rule = Threshold(
        id="x",
        by=("user", "ip"),
        where="(failure) and user_agent contains ('b', 'a')",
        ratio="late",
        at_least=0.5,
        at_least_events=30,
        also=Condition(sum="latency_ms", at_least=1e4),
        unless=Condition(where="success", distinct="session", at_least=3),
    )
    assert describe(rule) == [
        "for each ip and user, over 10m in 20 panes of 30s",
        'when   at least 0.5 = events where failure and user_agent contains ("a", "b") and late / events where failure '
        'and user_agent contains ("a", "b")',
        'and    at least 30 events where failure and user_agent contains ("a", "b")',
        'and    at least 10000 latency_ms in sum where failure and user_agent contains ("a", "b")',
        "unless at least 3 different session where success",
        'meters 4: events where failure and user_agent contains ("a", "b") and late; events where failure and '
        'user_agent contains ("a", "b"); latency_ms in sum where failure and user_agent contains ("a", "b"); '
        "different session where success",
        "opens  when its pane is final, 30s later: more events can undo it",
        "cost   high: searches text",
    ]


def test_the_documented_examples_are_sound() -> None:
    text = (ROOT / "docs" / "detections.md").read_text()
    blocks = re.findall(r"```(toml|text)\n(.*?)```", text, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["toml", "toml", "text", "text", "toml", "toml"]
    assert read(blocks[0][1])[1] == []
    levels, mix = tomllib.loads(blocks[4][1])["detection"]
    assert msgspec.convert(levels, Rule) == LevelAnomaly()
    assert msgspec.convert(mix, Rule) == MixAnomaly()
    (learned,) = tomllib.loads(blocks[5][1])["detection"]
    assert msgspec.convert(learned, Rule) == BehaviourAnomaly(dimension="user", score=0.97)
    for line in blocks[3][1].splitlines():
        parse(line)
    for name in (*TYPES, *BOOLEANS):
        assert re.search(rf"\b{name}\b", text), name
