"""Alerts beside the truth."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flows.compare import Comparison, Incident, KindResult, compare, match, read_alerts, render
from flows.errors import InputError
from flows.formats.ocsf import encode_alert
from flows.formats.truth import Truth, encode_truth, read_truth
from models.alert import Alert
from models.rules import Rule, about, default_rules, dimension

BEGIN = 1_795_420_800_000  # 2026-11-23T08:00:00Z


def alert(
    uid: str = "a", activity: int = 1, after: float = 30, start: float = 0, end: float = 120, **more: Any
) -> dict[str, Any]:
    """As much of an OCSF finding as the comparison reads, times in seconds after BEGIN, and some that it does not."""
    return {
        "time": BEGIN + int(after * 1000),
        "activity_id": activity,
        "class_uid": 2004,
        "start_time": BEGIN + int(start * 1000),
        "end_time": BEGIN + int(end * 1000),
        "finding_info": {"uid": uid, "title": "Brute force"},
        "metadata": {"tenant_uid": more.get("tenant", "acme"), "version": "1.8.0"},
        "unmapped": {
            "seq": 0,
            "detection": more.get("detection", "brute_force_ip"),
            "dimension": more.get("dimension", "ip"),
            "entity": more.get("entity", "203.0.113.7"),
        },
    }  # fmt: skip


def attack(**more: Any) -> Truth:
    entities: dict[str, list[str]] = {"ip": ["203.0.113.7"], "user": [], "endpoint": [], "tenant": []}
    return Truth(
        more.get("attack", "brute_force-000"),
        more.get("kind", "brute_force"),
        entities | more.get("entities", {}),
        more.get("start", "2026-11-23T08:00:00.000Z"),
        more.get("end", "2026-11-23T08:02:00.000Z"),
        ["e-1", "e-2"],
        more.get("expected", []),
    )


def compared(tmp_path: Path, alerts: list[dict[str, Any]], truth: list[Truth]) -> Comparison:
    (tmp_path / "alerts.ndjson").write_text("".join(json.dumps(one) + "\n" for one in alerts))
    (tmp_path / "truth.ndjson").write_bytes(encode_truth(truth))
    return compare(tmp_path / "alerts.ndjson", tmp_path / "truth.ndjson")


def test_an_attack_is_found_by_an_incident_with_its_entity(tmp_path: Path) -> None:
    found = compared(tmp_path, [alert()], [attack()])
    one = found.attacks[0]
    assert (one.detected, one.detections, one.seconds, one.incidents) == (True, ("brute_force_ip",), 30.0, ("a",))
    assert msgspec.to_builtins(found.totals) == {
        "attacks": 1, "detected": 1, "missed": 0, "incidents": 1, "false_incidents": 0,
    }  # fmt: skip


def test_messages_of_one_incident_are_one(tmp_path: Path) -> None:
    alerts = [alert(activity=3, after=700, end=180), alert(activity=1, after=25), alert(activity=2, after=90)]
    found = compared(tmp_path, alerts, [attack()])
    assert found.totals.incidents == 1
    assert found.attacks[0].seconds == 25.0


def test_an_incident_without_its_create_counts_from_its_first_message(tmp_path: Path) -> None:
    found = compared(tmp_path, [alert(activity=3, after=700), alert(activity=2, after=90)], [attack()])
    assert found.attacks[0].seconds == 90.0


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (180, 200, True),
        (180.001, 200, False),
        (-90, -60, True),
        (-90, -60.001, False),
        (-90, 900, True),
        (30, 40, True),
    ],
)
def test_times_overlap_within_a_minute(tmp_path: Path, start: float, end: float, expected: bool) -> None:
    found = compared(tmp_path, [alert(start=start, end=end)], [attack()])
    assert found.attacks[0].detected is expected
    assert len(found.false) == (0 if expected else 1)


@pytest.mark.parametrize("other", [{"entity": "203.0.113.8"}, {"dimension": "user"}])
def test_another_entity_is_false_and_the_attack_missed(tmp_path: Path, other: dict[str, Any]) -> None:
    found = compared(tmp_path, [alert(**other)], [attack()])
    assert not found.attacks[0].detected
    assert found.attacks[0].seconds is None
    assert [incident.uid for incident in found.false] == ["a"]


def test_what_shows_an_event_of_an_attack_is_not_false_and_finds_nothing(tmp_path: Path) -> None:
    page = alert(entity="/v2/auth/login", dimension="endpoint", detection="behaviour_anomaly_endpoint")
    for shown, false in (("e-2", 0), ("e-9", 1)):
        found = compared(tmp_path, [page | {"evidences": [{"uid": "e-8"}, {"uid": shown}, {}]}], [attack()])
        assert (found.totals.detected, found.totals.false_incidents) == (0, false)


def test_what_a_flood_moves_belongs_to_it(tmp_path: Path) -> None:
    flood = attack(entities={"endpoint": ["/v1/search"], "tenant": ["acme"]})
    alerts = [
        alert("a", after=40, detection="traffic_spike_endpoint", dimension="endpoint", entity="/v1/search"),
        alert("b", after=20, detection="traffic_spike_ip"),
        alert("c", after=60, detection="traffic_spike_tenant", dimension="tenant", entity="acme"),
    ]
    found = compared(
        tmp_path, alerts, [flood, attack(attack="later", start="2026-11-23T09:00:00Z", end="2026-11-23T09:01:00Z")]
    )
    assert found.attacks[0].incidents == ("b", "a", "c")
    assert found.attacks[0].seconds == 20.0
    assert found.false == ()
    assert found.totals.missed == 1


def test_kinds_are_counted_and_say_whether_their_own_detection_fired(tmp_path: Path) -> None:
    later = {"start": "2026-11-23T09:00:00Z", "end": "2026-11-23T09:01:00Z"}
    truth = [
        attack(),
        attack(attack="stuffing", kind="credential_stuffing"),
        attack(attack="took", kind="takeover", expected=["takeover", "success_after_attack"]),
        attack(attack="later", kind="takeover", expected=["takeover"], **later),
    ]
    alerts = [alert(after=30), alert("b", after=90, detection="success_after_attack")]
    kinds = {one.kind: one for one in compared(tmp_path, alerts, truth).kinds}
    assert list(kinds) == ["brute_force", "credential_stuffing", "takeover"]
    assert kinds["brute_force"] == KindResult("brute_force", 1, 1, 1, 30.0)
    assert kinds["credential_stuffing"] == KindResult("credential_stuffing", 1, 1, 0, 30.0)
    assert kinds["takeover"] == KindResult("takeover", 2, 1, 1, 30.0)
    assert [one.as_expected for one in compared(tmp_path, alerts, truth).attacks] == [True, False, True, False]


def test_an_attack_without_entities_is_found_by_its_detection(tmp_path: Path) -> None:
    nothing: dict[str, list[str]] = {"ip": []}
    surge = attack(attack="dead", kind="dead_letter_surge", entities=nothing, expected=["dead_letter_surge"])
    later = attack(attack="late", kind="dead_letter_surge", entities=nothing, start="2026-11-23T09:00:00Z",
                   end="2026-11-23T09:01:00Z")  # fmt: skip
    alerts = [alert(), alert("b", detection="dead_letter_surge_tenant", dimension="tenant", entity="default")]
    found = compared(tmp_path, alerts, [surge, later])
    assert [one.incidents for one in found.attacks] == [("b",), ()]
    assert [one.uid for one in found.false] == ["a"]


def test_nothing_compares_with_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, [], [])
    assert found == match([], [])
    assert "0 of 0 attacks detected; 0 incidents, 0 of them false" in shown(found)


def shown(found: Comparison) -> str:
    console = Console(width=160, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(render(found))
    return console.export_text()


def test_the_table_says_what_was_found_missed_and_false(tmp_path: Path) -> None:
    missed = attack(
        attack="spray-001", entities={"ip": ["192.0.2.9", "192.0.2.10", "192.0.2.11"], "user": ["sam@x.example"]}
    )
    text = shown(compared(tmp_path, [alert(), alert("b", entity="198.51.100.1")], [attack(), missed]))
    for expected in (
        "detected",
        "30 s",
        "brute_force_ip",
        "MISSED",
        "ip 192.0.2.9 (+2), user sam@x.example",
        "198.51.100.1",
    ):
        assert expected in text
    assert "as expected" in text
    assert "1 of 2 attacks detected; 2 incidents, 1 of them false" in text


def test_the_table_is_bounded_and_cannot_move_the_cursor(tmp_path: Path) -> None:
    alerts = [alert(f"{n:03d}", dimension="user", entity="[red]\x1b[2J\u202e\r" + "x" * 5000) for n in range(100)]
    text = shown(compared(tmp_path, alerts, [attack(attack="\x1b]0;x\x07")]))
    assert set(text) & set("\x1b\u202e\r\x07") == set()
    assert "[red]?[2J??" in text
    assert "and 80 more" in text
    assert len(text) < 20_000


def test_json_is_the_comparison_as_it_is(tmp_path: Path) -> None:
    found = compared(tmp_path, [alert(), alert("b", entity="x")], [attack()])
    as_json = json.loads(msgspec.json.encode(found))
    assert as_json["totals"]["false_incidents"] == 1
    assert as_json["attacks"][0]["seconds"] == 30.0
    assert as_json["false"][0]["entity"] == "x"


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"time": 1}', b"\xff\xfe", b'{"time": "now", "activity_id": 1}', b"null"]
)
def test_what_is_no_alert_is_named_by_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "alerts.ndjson"
    path.write_bytes(json.dumps(alert()).encode() + b"\n\n" + line + b"\n")
    with pytest.raises(InputError, match=r"alerts\.ndjson:3: not an alert"):
        read_alerts(path)
    with pytest.raises(InputError, match=r"alerts\.ndjson:1: not a truth record"):
        read_truth(path)


def test_what_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    for read in (read_alerts, read_truth):
        with pytest.raises(InputError, match="No such file or directory"):
            read(tmp_path / "missing")
    for time in ("soon", "2026-11-23T08:00:00"):
        with pytest.raises(InputError, match="time"):
            match([], [attack(start=time)])


@pytest.mark.parametrize("rule", default_rules(), ids=lambda rule: rule.id)
def test_the_alerts_that_lapwing_writes_are_read(tmp_path: Path, rule: Rule) -> None:
    written = Alert(
        uid="0" * 32,
        seq=0,
        activity=1,
        tenant="acme",
        detection=rule.id,
        dimension=dimension(rule),
        entity="203.0.113.7",
        severity=3,
        time=BEGIN * 1000,
        created=BEGIN * 1000,
        first_seen=BEGIN * 1000 - 40_000_000,
        start=BEGIN * 1000 - 60_000_000,
        end=BEGIN * 1000,
        count=20,
        feature="failures_10m",
        window_s=600,
        value=20.0,
        limit=20.0,
    )
    digest = msgspec.structs.replace(written, uid="1" * 32, digest=3)
    (tmp_path / "alerts.ndjson").write_bytes(
        b"".join(encode_alert(one, about(rule), rule, BEGIN, "0.1.0") + b"\n" for one in (written, digest))
    )
    assert read_alerts(tmp_path / "alerts.ndjson") == [
        Incident("0" * 32, "acme", rule.id, dimension(rule), "203.0.113.7", BEGIN, BEGIN - 60_000, BEGIN)
    ]


TIMES = st.integers(0, 600).map(lambda s: s * 1000)
INCIDENTS = st.lists(
    st.builds(
        lambda n, dimension, entity, created, start, length: Incident(
            str(n), "acme", "rule", dimension, entity, BEGIN + created, BEGIN + start, BEGIN + start + length
        ),
        st.integers(0, 10**9), st.sampled_from(["ip", "user"]), st.sampled_from("abc"), TIMES, TIMES, TIMES,
    ),
    max_size=8,
    unique_by=lambda incident: incident.uid,
)  # fmt: skip


@given(
    INCIDENTS,
    st.lists(
        st.tuples(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")), st.integers(0, 9)), max_size=4
    ),
)
def test_matching_is_its_definition(incidents: list[Incident], attacks: list[tuple[list[str], list[str], int]]) -> None:
    truth = [
        attack(
            attack=str(n),
            entities={"ip": ips, "user": users},
            start=f"2026-11-23T08:0{minute}:00Z",
            end=f"2026-11-23T08:0{minute}:30Z",
        )
        for n, (ips, users, minute) in enumerate(attacks)
    ]
    found = match(incidents, truth)
    belongs = set()
    for result, (ips, users, minute) in zip(found.attacks, attacks, strict=True):
        start = BEGIN + minute * 60_000
        expected = {
            one.uid
            for one in incidents
            if one.entity in {"ip": ips, "user": users}[one.dimension]
            and max(one.start, start) - min(one.end, start + 30_000) <= 60_000
        }
        assert set(result.incidents) == expected
        assert result.detected is bool(expected)
        belongs |= expected
        assert result.as_expected is False
        if expected:
            assert result.seconds == min(one.created for one in incidents if one.uid in expected) / 1000 - start / 1000
    assert {one.uid for one in found.false} == {one.uid for one in incidents} - belongs
