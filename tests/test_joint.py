"""Detections by two dimensions: an account at an address is an entity of its own."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import query
from flows.compare import compare
from flows.config import load
from flows.state_shape import state_identity, table_limits
from flows.steps.split import split
from models.base import DIMENSIONS, IP, JOINTS, SKIP, USER, WATCHED
from models.kernels.arrive import EVERY_MARK
from models.kernels.layout import ACTIVE, COUNTERS, RECORDS
from models.kernels.siphash import PUBLIC_K0, PUBLIC_K1
from models.rules import program, watched
from models.rules.threshold import Threshold
from models.windows.incidents import incident_uid
from models.windows.joint import entities, joints, widened
from tests.batches import batch, marked, piece, row
from tests.command import ROOT, command
from tests.naive import Params
from tests.naive_siphash import siphash
from tests.streams import SECOND, START, Setup
from tests.test_definitions import shard_of

OWN = """
[[detection]]
type = "threshold"
id = "guessing"
by = {by}
where = "failure"
{rule}
title = "Guessing at one account from one address"
measure = "failed logins"
"""
FAILED = {"action": "login", "outcome": "failure", "ip": "203.0.113.7", "username": "sam@example.com"}
PANE_START = 1_795_410_000_000_000


def events(folder: Path, rows: Iterable[dict[str, Any]], every: float = 1.0) -> Path:
    lines = []
    for i, members in enumerate(rows):
        seconds = 1_795_410_000 + i * every
        lines.append(json.dumps({"time": seconds, "id": str(i)} | members))
    path = folder / "events.ndjson"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def detected(
    folder: Path, config: str, rows: Iterable[dict[str, Any]], *arguments: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The alerts, suppressed ones too, and the scored events."""
    path = folder / "config.toml"
    path.write_text(config)
    source = events(folder, rows)
    code, _, err = command(
        "detect", "--config", path, "--input", source, "--output", folder / "out", "--quiet", *arguments
    )
    assert code == 0, err
    lines = {
        name: [json.loads(line) for line in (folder / "out" / f"{name}.ndjson").read_text().splitlines()]
        for name in ("alerts", "suppressed", "scored")
    }
    return lines["alerts"] + lines["suppressed"], lines["scored"]


def ended(alerts: list[dict[str, Any]]) -> bool:
    """One incident from its create to its close, updated in between as time goes by."""
    uids = {one["finding_info"]["uid"] for one in alerts}
    return len(uids) == 1 and [one["activity_id"] for one in alerts] == [1, *[2] * (len(alerts) - 2), 3]


def own(by: str = '["user", "ip"]', rule: str = "count = true\nat_least = 6") -> str:
    return OWN.format(by=by, rule=rule)


def test_an_alert_names_both(tmp_path: Path) -> None:
    rows = [FAILED | {"username": name} for name in ("sam@example.com", "li@example.com") for _ in range(5)]
    rows += [FAILED | {"ip": "203.0.113.8"} for _ in range(5)]
    alerts, _ = detected(tmp_path, own(), [*rows, FAILED])
    create, close = alerts[0], alerts[-1]
    assert ended(alerts)
    assert create["message"].startswith(
        "Guessing at one account from one address: 6 failed logins from 203.0.113.7 for sam@example.com in 10 minutes "
    )
    assert create["unmapped"]["dimension"] == "ip_user"
    assert create["unmapped"]["entity"] == "203.0.113.7, sam@example.com"
    assert create["unmapped"]["entities"] == {"ip": "203.0.113.7", "user": "sam@example.com"}
    assert create["anomaly_analyses"][0]["analysis_targets"] == [
        {"name": "203.0.113.7", "type": "IP Address"},
        {"name": "sam@example.com", "type": "User"},
    ]
    assert [(one["name"], one["type_id"], one["value"]) for one in create["observables"][:2]] == [
        ("anomaly_analyses[0].analysis_targets[0].name", 2, "203.0.113.7"),
        ("anomaly_analyses[0].analysis_targets[1].name", 4, "sam@example.com"),
    ]
    uid = incident_uid("default", "guessing", chr(11) + "203.0.113.7sam@example.com", PANE_START)
    assert {create["finding_info"]["uid"], close["finding_info"]["uid"]} == {uid}
    assert (close["count"], close["unmapped"]["value"]) == (6, 6.0)
    assert len(close["evidences"]) == 5
    schema = jsonschema.Draft202012Validator(json.loads((ROOT / "tests" / "ocsf-1.8.0.schema.json").read_text()))
    for one in alerts:
        schema.validate(one)


@pytest.mark.parametrize(("dimension", "name", "known"), [
    ("ip", "203.0.113.7", True), ("user", "sam@example.com", True), ("ip_user", "203.0.113.7, sam@example.com", True),
    ("user", "li@example.com", False), ("ip", "sam@example.com", False), ("endpoint", "/login", False),
])  # fmt: skip
def test_it_is_found_by_either(tmp_path: Path, dimension: str, name: str, known: bool) -> None:
    detected(tmp_path, own(), [FAILED] * 6)
    found = query.incidents(str(tmp_path / "out"), dimension=dimension, entity=name)
    assert [one.dimension for one in found] == ["ip_user"] * known
    attack = {
        "attack": "a1", "kind": "guessing", "entities": {dimension: [name]},
        "start": "2026-11-23T05:00:00Z", "end": "2026-11-23T05:00:05Z", "events": [],
    }  # fmt: skip
    truth = tmp_path / "truth.jsonl"
    truth.write_text(json.dumps(attack) + "\n")
    if dimension in DIMENSIONS:
        told = compare(tmp_path / "out" / "alerts.ndjson", truth)
        assert (told.totals.detected, told.totals.false_incidents) == (int(known), int(not known))


def test_only_events_of_both_are_under_its_incident(tmp_path: Path) -> None:
    success = {"outcome": "success"}
    others = [FAILED | success | {"ip": "203.0.113.8"}, FAILED | success | {"username": "li"}]
    alerts, scored = detected(tmp_path, "[input]\nbatch_rows = 1\n" + own(), [FAILED] * 7 + [FAILED | success, *others])
    uids = [event["lapwing"]["alerts"] for event in scored]
    assert uids[7:] == [[alerts[0]["finding_info"]["uid"]], [], []]
    assert [event["lapwing"]["risk"] for event in scored[5:]] == [60, 60, 60, None, None]
    assert all(set(event["lapwing"]["scores"]) == {"ip", "user"} for event in scored)


@pytest.mark.parametrize(
    ("by", "dimension", "rows", "names", "words"),
    [
        ('["ip", "endpoint"]', "ip_endpoint", {"endpoint": "/login"}, ["203.0.113.7", "/login"],
         "from 203.0.113.7 on /login"),
        ('["user", "endpoint"]', "endpoint_user", {"endpoint": "/users/8f3a2b1c-0000-4000-8000-1234567890ab/keys"},
         ["/users/{id}/keys", "sam@example.com"], "on /users/{id}/keys for sam@example.com"),
        ('["ip", "user"]', "ip_user", {"ip": "2001:db8:1:2:3::4"}, ["2001:db8:1:2::/64", "sam@example.com"],
         "from 2001:db8:1:2::/64 for sam@example.com"),
    ],
)  # fmt: skip
def test_any_two(tmp_path: Path, by: str, dimension: str, rows: Any, names: list[str], words: str) -> None:
    alerts, _ = detected(tmp_path, own(by), [FAILED | rows] * 6)
    assert {alert["unmapped"]["dimension"] for alert in alerts} == {dimension}
    assert [*alerts[0]["unmapped"]["entities"].values()] == names
    assert words in alerts[0]["message"]


@pytest.mark.parametrize("rule", [
    'distinct = "endpoint"\nat_least = 3',
    'sum = "latency_ms"\nat_least = 60',
    "ratio = 'status == 403'\nat_least = 0.5\nat_least_events = 6",
    'count = true\nat_least = 6\nunless = {where = "success", count = true, at_least = 1}',
])  # fmt: skip
def test_every_aggregate(tmp_path: Path, rule: str) -> None:
    """Half of it comes from elsewhere, which only an entity of one dimension would count."""

    def attack(n: int, **members: Any) -> list[dict[str, Any]]:
        return [
            FAILED | {"endpoint": f"/{'abc'[i % 3]}", "latency_ms": 10, "status": 403 if i % 2 else 401} | members
            for i in range(n)
        ]

    alerts, _ = detected(tmp_path, own(rule=rule), attack(2) + attack(5, ip="203.0.113.8")[:5])
    assert [one["unmapped"]["entities"]["ip"] for one in alerts if "distinct" not in rule] == []
    alerts, _ = detected(tmp_path, own(rule=rule), attack(6))
    assert {one["unmapped"]["entities"]["ip"] for one in alerts} == {"203.0.113.7"}


@pytest.mark.parametrize(("keys", "held"), [
    ({"cidr": "203.0.113.0/28"}, True), ({"cidr": "203.0.113.16/28"}, False),
    ({"user": "Sam@*"}, True), ({"user": "li@*"}, False), ({"endpoint": "*"}, False),
    ({"cidr": "203.0.113.0/28", "user": "sam@*"}, True), ({"cidr": "203.0.113.16/28", "user": "sam@*"}, False),
    ({"cidr": "203.0.113.0/28", "user": "li@*"}, False),
])  # fmt: skip
def test_an_exception_by_either_or_both(tmp_path: Path, keys: dict[str, str], held: bool) -> None:
    given = "\n".join(f'{key} = "{value}"' for key, value in keys.items())
    exception = f"""
[[exception]]
id = "known"
{given}
detection = "guessing"
owner = "soc"
reason = "-"
expiry = 2090-01-01T00:00:00Z
"""
    alerts, _ = detected(tmp_path, own() + exception, [FAILED] * 6)
    assert {one.get("status_detail") for one in alerts} == ({"exception known"} if held else {None})
    assert ended(alerts)


def test_one_attack_with_what_either_is_in(tmp_path: Path) -> None:
    single = '[[detection]]\ntype = "brute_force_user"\nat_least = 8\n'
    alerts, _ = detected(tmp_path, own() + single, [FAILED] * 8)
    assert {one["unmapped"]["detection"] for one in alerts} == {"guessing", "brute_force_user"}
    assert len({one["metadata"]["correlation_uid"] for one in alerts}) == 1
    at_login = own('["ip", "endpoint"]')
    rows = [FAILED | {"endpoint": "/login", "ip": f"203.0.113.{n}", "username": f"u{n}"} for n in range(2)]
    alerts, _ = detected(tmp_path, at_login, rows * 6)
    assert len({one["metadata"]["correlation_uid"] for one in alerts}) == 2  # many are at /login


def test_names_are_told_apart_wherever_they_are_cut(tmp_path: Path) -> None:
    """Names that read the same one after the other, and names that differ only where both together are too long."""
    long = "u" * 120
    pairs = [("/a", "bc"), ("/ab", "c"), ("/" + "e" * 120, long + "1"), ("/" + "e" * 120, long + "2"),
             ("/short", long + "é1"), ("/a, b", "c"), ("/a", "b, c")]  # fmt: skip
    rows = [FAILED | {"endpoint": endpoint, "username": user} for _ in range(6) for endpoint, user in pairs]
    alerts, _ = detected(tmp_path, own('["endpoint", "user"]'), rows)
    creates = [one for one in alerts if one["activity_id"] == 1]
    assert len({one["finding_info"]["uid"] for one in creates}) == len(pairs)
    told = [tuple(one["unmapped"]["entities"].values()) for one in creates]
    assert len({*told}) == len(pairs)
    assert {("/a", "bc"), ("/ab", "c"), ("/a, b", "c"), ("/a", "b, c")} <= {*told}
    assert all(len((a + b).encode()) <= 126 for a, b in told)
    assert ("/short", long) not in told


def test_adding_one_is_another_state(tmp_path: Path) -> None:
    single = '[[detection]]\ntype = "brute_force_user"\n'
    detected(tmp_path, own() + single, [FAILED] * 3, "--state", str(tmp_path / "state"))
    later = tmp_path / "later.ndjson"
    later.write_text("".join(json.dumps(FAILED | {"time": 1_795_410_010 + n}) + "\n" for n in range(3)))
    arguments = ("--input", later, "--output", tmp_path / "out", "--state", tmp_path / "state", "--quiet", "--close")
    (tmp_path / "single.toml").write_text(single)
    code, _, err = command("detect", "--config", tmp_path / "single.toml", *arguments)
    assert code == 3
    assert "dimensions" in err[0]
    assert "tenant ip endpoint user ip_user" in err[0]
    assert not (tmp_path / "out" / "alerts.ndjson").read_text()


def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    detected(tmp_path, own(), [FAILED] * 3, *state)
    source = tmp_path / "events.ndjson"
    before = source.read_text()
    source.write_text(before + "".join(json.dumps(FAILED | {"time": 1_795_410_010 + n}) + "\n" for n in range(3)))
    config = tmp_path / "config.toml"
    out = tmp_path / "out"
    code, _, err = command("detect", "--config", config, "--input", source, "--output", out, *state, "--close")
    assert code == 0, err
    alerts = [json.loads(line) for line in (out / "alerts.ndjson").read_text().splitlines()]
    assert ended(alerts)
    assert {one["count"] for one in alerts} == {6}
    assert {one["unmapped"]["entity"] for one in alerts} == {"203.0.113.7, sam@example.com"}


def test_what_is_watched_has_its_share_of_the_limits(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    limits = "[state]\nmax_entities = 6400000\nmax_active = 640000\n"
    config.write_text(limits + own() + own('["ip", "endpoint"]').replace('"guessing"', '"other"'))
    found = load(str(config))
    names = watched(found.detection)
    assert names == (*DIMENSIONS, "ip_endpoint", "ip_user")
    shares = [table_limits(found, name) for name in names]
    assert found.state.shards * sum(records for records, _ in shares) <= 6_400_000
    assert found.state.shards * sum(rings for _, rings in shares) <= 640_000
    config.write_text(limits)
    without = load(str(config))
    assert [table_limits(found, name) == table_limits(without, name) for name in DIMENSIONS] == [
        True,
        False,
        True,
        False,
    ]
    assert state_identity(found)["dimensions"] == " ".join(names)
    assert state_identity(load())["dimensions"] == " ".join(DIMENSIONS)


# The columns


def naive(a: int, b: int, joint: int) -> int:
    tenant = joint
    turned = ((tenant << 32) | (tenant >> 32)) & (2**64 - 1)
    whole = a.to_bytes(8, "little") + b.to_bytes(8, "little")
    return siphash(whole, int(PUBLIC_K0) ^ tenant, int(PUBLIC_K1) ^ turned) or 1


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "192.0.2.1", "2001:db8::/64"]),
        st.one_of(
            st.just(""), st.text("ab", min_size=1, max_size=3), st.text("aé€\U0001f600", min_size=1, max_size=60)
        ),
        st.booleans(),
    ),
    max_size=12,
)


@given(rows=ROWS, every=st.booleans())
@settings(deadline=None)
def test_the_columns_of_a_joint_dimension(rows: list[tuple[str, str, bool]], every: bool) -> None:
    item = batch("p", ("p",), 0, [row(START, ip=ip, user=user, failure=bad) for ip, user, bad in rows], 0, 0, 0)
    told = program([Threshold(id="own", by=("ip", "user"), where="" if every else "failure", count=True)])
    item = marked(item, told)
    wanted = joints(told)
    at = WATCHED.index("ip_user")
    assert wanted == {at: EVERY_MARK if every else np.uint64(1)}
    wide = widened(item, wanted)
    for d in range(len(DIMENSIONS)):
        assert [wide.name(d, i) for i in range(len(rows))] == [item.name(d, i) for i in range(len(rows))]
        assert wide.entity[d].tolist() == item.entity[d].tolist()
    for i, (ip, user, bad) in enumerate(rows):
        if not ip or not user:
            assert (int(wide.entity[at, i]), int(wide.name_length[at, i])) == (0, 0)
            continue
        assert int(wide.entity[at, i]) == naive(int(item.entity[IP, i]), int(item.entity[USER, i]), at)
        if not bad and not every:
            assert int(wide.name_length[at, i]) == 0
            continue
        (_, first), (_, second) = entities(at, wide.name(at, i))
        assert first == ip
        if len((ip + user).encode()) <= 126:
            assert second == user
        else:
            assert user.startswith(second[:-17])
            assert second[-17:] == f"~{int(item.entity[USER, i]):016x}"
            assert 126 - 3 <= len((first + second).encode()) <= 126


def test_who_is_not_counted_takes_no_room() -> None:
    rule = Threshold(id="own", by=("ip", "user"), where="failure", count=True, at_least=2)
    told = program([rule])
    rows = [row(START + n * SECOND, ip="192.0.2.1", user=f"u{n}", failure=n % 10 == 0) for n in range(100)]
    wide = widened(marked(batch("p", ("p",), 0, rows, 0, START, START + 99 * SECOND), told), joints(told))
    shard = shard_of("ip_user", Setup((rule,), (rule.quiet_us,), Params(0.05, 0.005, 10, 3, 0.9, 20, 20, 5), 60))
    at = WATCHED.index("ip_user")
    out = shard.assess(piece(wide, at))
    assert (int(out.head[RECORDS]), int(out.head[ACTIVE])) == (10, 10)
    assert not (wide.flags & SKIP).any()  # the other dimensions count them


def test_a_flood_of_pairs_stays_within_its_limits() -> None:
    rule = Threshold(id="own", by=("ip", "user"), where="failure", count=True, at_least=5)
    told = program([rule])
    setup = Setup((rule,), (rule.quiet_us,), Params(0.05, 0.005, 10, 3, 0.9, 20, 20, 5), 60)
    shard = shard_of("ip_user", setup, max_records=200, max_rings=100)
    at = WATCHED.index("ip_user")
    creates = []
    for number in range(20):
        begin = START + number * 60 * SECOND
        rows = [
            row(begin + n * SECOND // 2, ip="192.0.2.1", user="sam" if n % 10 == 0 else f"u{number}-{n}", failure=True)
            for n in range(100)
        ]
        item = batch("p", ("p",), number, rows, number * 100, begin, begin + 49 * SECOND)
        out = shard.assess(piece(widened(marked(item, told), joints(told)), at))
        creates += [one.alert for one in out.findings if one.alert.activity == 1]
        assert int(out.head[ACTIVE]) <= 100
        assert int(out.head[RECORDS]) <= 200
    assert [alert.entity for alert in creates] == ["192.0.2.1, sam"]
    assert sum(int(out.head[place]) for place in COUNTERS["overflowed"]) > 0
    assert not out.windows  # nothing is learned of pairs


def test_records_go_with_the_rings() -> None:
    """Of an address there is a baseline to remember, of a pair there is nothing."""
    rule = Threshold(id="own", by=("ip", "user"), where="failure", count=True, at_least=5)
    told = program([rule])
    setup = Setup((rule,), (rule.quiet_us,), Params(0.05, 0.005, 10, 3, 0.9, 20, 20, 5), 60)
    shard = shard_of("ip_user", setup, max_records=100_000, max_rings=50_000)
    at = WATCHED.index("ip_user")
    held, creates = [], []
    for number in range(60):
        begin = START + number * 60 * SECOND
        names = ["sam" if n == 0 and number > 53 else f"u{number}-{n}" for n in range(500)]
        rows = [row(begin + n * SECOND // 20, ip="192.0.2.1", user=name, failure=True) for n, name in enumerate(names)]
        item = batch("p", ("p",), number, rows, number * 500, begin, begin + 24 * SECOND)
        out = shard.assess(piece(widened(marked(item, told), joints(told)), at))
        creates += [one.alert.entity for one in out.findings if one.alert.activity == 1]
        held.append((int(out.head[RECORDS]), int(out.head[ACTIVE])))
    assert max(active for _, active in held) > 8_000  # those of a window of ten minutes, and what lingers
    assert all(records <= 2 * active + 1024 + 500 for records, active in held)
    assert held[-1][0] < 20_000
    assert creates == ["192.0.2.1, sam"]


def test_without_such_a_detection_nothing_is_done() -> None:
    item = batch("p", ("p",), 0, [row(START, ip="192.0.2.1", user="u")], 0, 0, 0)
    plain = split(item, 2)
    assert len(plain) == 2 * len(DIMENSIONS)
    assert all(part.batch is item for _, part in plain)
    assert len(plain[0][1].scores.score) == len(DIMENSIONS)
    wanted = joints(program([Threshold(id="own", by=by, count=True) for by in (("ip", "user"), ("user", "endpoint"))]))
    assert [JOINTS[at - len(DIMENSIONS)] for at in wanted] == [(1, 3), (2, 3)]
    wide = split(item, 2, wanted)
    assert len(wide) == 2 * (len(DIMENSIONS) + 2)
    assert [int(part.rows.size) for key, part in wide if key.startswith(("ip_user", "endpoint_user"))].count(1) == 1
