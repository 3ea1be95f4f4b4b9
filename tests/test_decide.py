"""What an analyst is told hangs on event time alone; nothing is lost, whatever is merged, capped or excepted."""

import json
import random
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.formats.ocsf import encode_alert
from flows.steps.decide import Decide, policy
from flows.tally import of_late
from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.exceptions import AlertException
from models.groups import LONGEST_US, QUIET_US
from models.kernels.layout import PANE_US
from models.rules import about, opens_early
from models.thresholds.storm import HOUR_US, digest_uid
from tests.command import ROOT
from tests.findings import MINUTE, RULES, SECOND, START, Life, configured, decided, item, items

IPS = [f"198.51.100.{i}" for i in range(6)]
USERS = [f"u{i}" for i in range(6)]
UNTIL = "2027-01-01T00:00:00Z"
except_ = partial(AlertException, owner="soc", reason="test", expiry=UNTIL)

EVENTS = st.builds(
    lambda ip, user, agent: {"ip": ip, "username": user.upper(), "user": f"id-{user}", "user_agent": agent},
    st.sampled_from(IPS), st.sampled_from(USERS), st.sampled_from(["Bot/1", "Mozilla"]),
)  # fmt: skip


@st.composite
def a_life(draw: st.DrawFn, rules: tuple[str, ...] = tuple(RULES)) -> Life:
    rule = draw(st.sampled_from(rules))
    dimension = "user" if "user" in rule else "ip" if rule.endswith("ip") else rule.rpartition("_")[2]
    names = {"user": USERS, "ip": IPS, "endpoint": ["/login", "/token"], "tenant": ["acme"]}
    return Life(
        rule, draw(st.sampled_from(names[dimension])), draw(st.integers(0, 9000)), draw(st.integers(0, 3)),
        draw(st.sampled_from(["acme", "acme", "other"])), draw(st.sampled_from([30, 60, 300])),
        draw(st.integers(20, 90)), tuple(draw(st.lists(EVENTS, max_size=3))), severity=draw(st.integers(2, 5)),
    )  # fmt: skip


def apart(lives: list[Life]) -> list[Life]:
    """Without those that would be open at the same time at the same entity: a shard never says so."""
    free: dict[tuple[str, ...], int] = {}
    kept = []
    for life in sorted(lives, key=lambda life: life.at):
        key = life.tenant, life.rule, life.entity
        alerts = life.alerts()
        if alerts[0].time > free.get(key, 0):
            free[key] = alerts[-1].time
            kept.append(life)
    return kept


LIVES = st.lists(a_life(), min_size=1, max_size=25).map(apart)
LATE_LIVES = st.lists(
    a_life(("brute_force_ip", "password_spray_ip", "traffic_spike_endpoint")), min_size=1, max_size=25
).map(apart)
"""Of detections that wait for their pane: where the limit is reached, which incidents are told is exact too."""
CASES = st.tuples(st.just(1000), LIVES) | st.tuples(st.sampled_from([1, 3]), LATE_LIVES)


def exactly(out: list[Alert]) -> list[Any]:
    """What must not differ between runs: each message, but of a create that came early only that it came."""
    return [
        (alert.uid, alert.seq) if alert.activity == CREATE and "digest" not in alert.suppressed_by and not alert.digest
        and opens_early(RULES[alert.detection])
        else msgspec.to_builtins(msgspec.structs.replace(alert, created=0))
        for alert in out
    ]  # fmt: skip


def by_incident(out: list[Alert]) -> dict[str, list[Any]]:
    lives: dict[str, list[Any]] = {}
    for alert, what in zip(out, exactly(out), strict=True):
        lives.setdefault(alert.uid, []).append(what)
    return lives


@settings(max_examples=200)
@example((1, [Life("brute_force_ip", ip, 0, 3 * i, every=30) for i, ip in enumerate(IPS)]), 0)
@given(CASES, st.integers(0, 2**32))
def test_neither_order_nor_batches_nor_restarts_change_what_is_told(case: tuple[int, list[Life]], seed: int) -> None:
    most, lives = case
    exceptions = [
        except_(id="by_agent", user_agent="Bot/*"), except_(id="by_entity", user="u5", tenant="acme"),
    ]  # fmt: skip
    config = configured(most, exceptions)
    usual = decided(items(lives, random.Random(0)), config)
    rng = random.Random(seed)
    found = decided(items(lives, rng), config, rng)
    assert by_incident(found) == by_incident(usual)
    if not any(life.early for life in lives):
        assert exactly(found) == exactly(usual), "without early creates the order is the same too"


@settings(max_examples=100)
@given(LIVES, st.integers(0, 2**32), st.sampled_from([1, 2, 1000]))
def test_nothing_is_lost_and_nothing_twice(lives: list[Life], seed: int, most: int) -> None:
    rng = random.Random(seed)
    exceptions = [except_(id="by_agent", user_agent="Bot/*"), except_(id="by_entity", user="u5")]
    out = decided(items(lives, rng), configured(most, exceptions), rng)
    expected = sorted((alert.uid, alert.seq, alert.activity) for life in lives for alert in life.alerts())
    assert sorted((alert.uid, alert.seq, alert.activity) for alert in out if not alert.digest) == expected
    for uid in {alert.uid for alert in out}:
        life = [alert for alert in out if alert.uid == uid]
        assert [alert.seq for alert in life] == list(range(len(life))), "in its own order"
        assert [alert.time for alert in life] == sorted(alert.time for alert in life)
        assert len({alert.suppressed_by for alert in life}) == 1, "decided once, for its whole life"
        if life[0].digest:
            assert [alert.activity for alert in life] == [CREATE, *[UPDATE] * (len(life) - 2), CLOSE]
    told = Counter(
        (alert.tenant, alert.detection, alert.time // HOUR_US)
        for alert in out
        if alert.activity == CREATE and not alert.suppressed_by and not alert.digest
    )
    # An incident whose exception hung on its evidences may be told in the hour after the one in which it crossed.
    assert all(count <= 2 * most for count in told.values())
    closes = {alert.uid: alert for alert in out if alert.activity == CLOSE and not alert.digest}
    for digest in (alert for alert in out if alert.digest and alert.activity == CLOSE):
        members = [a for a in closes.values() if a.suppressed_by == f"digest {digest.uid}"]
        assert (digest.digest, digest.count) == (len(members), sum(alert.count for alert in members))
        assert {one.uid for one in digest.related} <= {alert.uid for alert in members}
    assert {a.suppressed_by for a in closes.values() if a.suppressed_by.startswith("digest")} == {
        f"digest {alert.uid}" for alert in out if alert.digest and alert.activity == CLOSE
    }


@settings(max_examples=60)
@given(LIVES, st.integers(0, 2**32))
def test_an_attack_has_one_entry_in_the_queue(lives: list[Life], seed: int) -> None:
    """In the exact messages of a group, one incident at a time is the front, and the others name it."""
    rng = random.Random(seed)
    out = decided(items(lives, rng), configured(), rng)
    closed: set[str] = set()
    front: dict[str, str] = {}
    severity = {alert.uid: alert.severity for alert in out}
    for alert in out:
        if alert.activity == CREATE or not alert.incident:
            continue
        if alert.front:
            before = front.get(alert.incident)
            assert before in (None, alert.uid) or before in closed or severity[before] < alert.severity
            front[alert.incident] = alert.uid
        else:
            assert len(alert.related) <= 1
            named = {one.uid for one in alert.related}
            assert all(severity[uid] >= alert.severity or uid in closed for uid in named), "nothing waits behind less"
        if alert.activity == CLOSE:
            closed.add(alert.uid)


def spray(n: int, at: float = 0, tenant: str = "acme", **members: Any) -> list[Life]:
    return [
        Life("password_spray_ip", f"203.0.{113 + i // 250}.{i % 250}", at + i % 90, tenant=tenant, **members)
        for i in range(n)
    ]


def told(out: list[Alert], activity: int = CREATE) -> list[Alert]:
    return [a for a in out if a.activity == activity and not a.suppressed_by]


def test_a_distributed_spray_is_one_entry() -> None:
    out = decided(items([*spray(400), *spray(2, tenant="other")], random.Random(1)), configured(50))
    creates = told(out)
    own = [alert for alert in creates if alert.tenant == "acme"]
    assert sum(alert.front and not alert.digest for alert in own) == 1
    assert len({alert.incident or alert.uid for alert in own if not alert.digest}) == 1
    [first] = [alert for alert in own if alert.front and not alert.digest]
    assert len(own) == 51, "fifty and a digest"
    [close] = [alert for alert in told(out, CLOSE) if alert.uid == first.uid]
    assert close.related_count == 49
    assert len(close.related) == 49
    [digest] = [alert for alert in told(out, CLOSE) if alert.digest]
    assert (digest.digest, digest.count, digest.limit, digest.front) == (350, 350 * 32, 50.0, True)
    assert {alert.incident for alert in out if alert.digest and alert.activity != CLOSE} == {first.uid}
    assert (digest.uid, len(digest.related)) == (digest_uid("acme", "password_spray_ip", START // HOUR_US), 20)
    assert sum(alert.activity == CREATE for alert in out if alert.suppressed_by == f"digest {digest.uid}") == 350
    assert {alert.front for alert in creates if alert.tenant == "other"} == {True, False}, "tenants are apart"


def test_a_storm_within_one_pane_of_a_detection_that_opens_early() -> None:
    for seed in range(5):
        lives = [Life("brute_force_user", f"user{i}", 2) for i in range(400)]
        out = decided(items(lives, random.Random(seed)), configured(50))
        assert sum(not alert.digest for alert in told(out)) == 50
        [digest] = [alert for alert in told(out, CLOSE) if alert.digest]
        assert (digest.digest, digest.count) == (350, 350 * 32)


def test_a_crowd_of_accounts_is_one_entry() -> None:
    """Nine accounts under attack are nine entries; with the tenth all are one, and so are those that follow."""
    for n, entries in ((9, 9), (10, 1), (40, 1)):
        lives = [Life("brute_force_user", f"user{i}", 20 * i) for i in range(n)]
        lives += [Life("brute_force_user", f"other{i}", 20 * i, tenant="other") for i in range(5)]
        found = decided(items(lives, random.Random(n)), configured(), random.Random(n))
        out = [alert for alert in found if alert.tenant == "acme"]
        assert sum(alert.front for alert in told(out, CLOSE)) == entries
        assert sum(alert.front for alert in told(out)) <= 10
        if entries == 1:
            assert {alert.incident for alert in told(out, CLOSE)} == {lives[0].uid}


def test_accounts_now_and_then_are_no_crowd() -> None:
    lives = [Life("brute_force_user", f"user{i}", 240 * i, updates=0) for i in range(30)]
    out = decided(items(lives, random.Random(1)), configured())
    assert all(alert.front for alert in told(out, CLOSE))


def test_hours_are_apart() -> None:
    lives = [Life("brute_force_ip", f"203.0.113.{i}", 3000 + 200 * i, updates=0) for i in range(6)]
    out = decided(items(lives, random.Random(1)), configured(2))
    hours = [(alert.time - START) // HOUR_US for alert in told(out) if not alert.digest]
    assert hours == [0, 0, 1, 1]
    digests = {alert.uid: alert.digest for alert in out if alert.digest}
    assert sorted(digests.values()) == [1, 1]


def test_an_address_and_the_account_it_attacks_are_one() -> None:
    user = Life(
        "brute_force_user", "sam@example.com", 0, evidences=({"ip": "203.0.113.7", "username": "Sam@example.com"},)
    )
    ip = Life("brute_force_ip", "203.0.113.7", 40, evidences=({"ip": "203.0.113.7", "username": "SAM@example.com"},))
    out = decided(items([user, ip], random.Random(1)), configured())
    last = {alert.detection: alert for alert in told(out, CLOSE)}
    assert {alert.incident for alert in last.values()} == {user.uid}
    assert (last["brute_force_user"].front, last["brute_force_ip"].front) == (True, False)
    assert [one.entity for one in last["brute_force_user"].related] == ["203.0.113.7"]
    assert [one.entity for one in last["brute_force_ip"].related] == ["sam@example.com"]


def test_a_typed_name_and_a_user_id_seen_together_are_one() -> None:
    typed = Life("brute_force_user", "sam@example.com", 0, evidences=({"username": "sam@example.com", "user": "u-17"},))
    known = Life("brute_force_user", "u-17", 700)
    other = Life("brute_force_user", "u-18", 700)
    out = decided(items([typed, known, other], random.Random(1)), configured())
    assert {alert.entity: alert.incident for alert in told(out, CLOSE)} == {
        "sam@example.com": typed.uid, "u-17": typed.uid, "u-18": "",
    }  # fmt: skip


def test_an_ipv6_address_is_its_network() -> None:
    ip = Life("brute_force_ip", "2001:db8:0:7::/64", 0)
    user = Life("brute_force_user", "sam", 100, evidences=({"ip": "2001:db8:0:7::9", "user": "sam"},))
    out = decided(items([ip, user], random.Random(1)), configured())
    assert {alert.incident for alert in told(out, CLOSE)} == {ip.uid}


@pytest.mark.parametrize(("gap", "linked"), [(QUIET_US, True), (QUIET_US + 60 * SECOND, False)])
def test_a_group_ends_half_an_hour_after_its_last_message(gap: int, linked: bool) -> None:
    first = Life("brute_force_ip", "203.0.113.7", 0)
    again = Life("brute_force_ip", "203.0.113.7", (first.alerts()[-1].time + gap - START) / SECOND - 30)
    assert again.alerts()[0].time - first.alerts()[-1].time == gap
    out = decided(items([first, again], random.Random(1)), configured())
    [create] = [alert for alert in told(out) if alert.uid == again.uid]
    assert (create.incident == first.uid) is linked
    assert create.front, "what it belongs to has been resolved, so it stands in the queue itself"


def test_a_group_takes_nothing_more_after_a_shift() -> None:
    lives = [Life("brute_force_ip", "203.0.113.7", 1500 * k) for k in range(30)]
    groups = [alert.incident or alert.uid for alert in told(decided(items(lives, random.Random(1)), configured()))]
    sizes = list(Counter(groups).values())
    assert sizes[0] == LONGEST_US // (1500 * SECOND) + 1
    assert len(sizes) == 2


def test_the_close_of_the_front_waits_for_the_others() -> None:
    event = {"ip": "203.0.113.7", "user": "sam"}
    front = Life("brute_force_ip", "203.0.113.7", 0, updates=0, evidences=(event,))
    long = Life("brute_force_user", "sam", 120, updates=8, evidences=(event,))
    out = decided(items([front, long], random.Random(1)), configured())
    closes = told(out, CLOSE)
    assert [alert.uid for alert in closes] == [long.uid, front.uid]
    assert closes[1].time == closes[0].time > front.alerts()[-1].time
    assert closes[1].count == front.alerts()[-1].count


def test_a_graver_incident_takes_the_front() -> None:
    event = {"ip": "203.0.113.7", "user": "sam"}
    first = Life("brute_force_ip", "203.0.113.7", 0, updates=3, evidences=(event,))
    over = Life("brute_force_ip", "203.0.113.9", 0, updates=0, evidences=(event,))
    grave = Life("deletion_surge_ip", "203.0.113.7", 700, updates=3, evidences=(event,), severity=4)
    less = Life("traffic_spike_ip", "203.0.113.7", 720, updates=3, severity=2)
    out = decided(items([first, over, grave, less], random.Random(1)), configured())
    assert {alert.uid for alert in told(out) if alert.front} >= {first.uid, grave.uid}
    closes = told(out, CLOSE)
    assert [alert.uid for alert in closes if alert.front] == [grave.uid]
    assert closes[-1].uid == grave.uid
    assert {alert.incident for alert in closes} == {min(first.uid, over.uid, key=lambda uid: uid != first.uid)}


def test_the_close_that_waits_is_told_when_its_group_gets_a_graver_front() -> None:
    """Two groups, the front of the older one closed already; then an incident links them, and the other front leads."""
    event = {"ip": "203.0.113.7", "user": "sam"}
    front = Life("brute_force_ip", "203.0.113.7", 0, updates=0, evidences=(event,))
    long = Life("brute_force_user", "sam", 60, updates=9, evidences=(event,))
    grave = Life("deletion_surge_user", "rogue", 300, updates=9, severity=4)
    both = Life("brute_force_ip", "203.0.113.9", 1500, evidences=({"user": "sam"}, {"user": "rogue"}))
    out = decided(items([front, long, grave, both], random.Random(1)), configured())
    closes = told(out, CLOSE)
    assert {alert.incident for alert in closes} == {front.uid}
    assert [alert.uid for alert in closes if alert.front] == [grave.uid]
    assert (closes[0].uid, closes[0].front, closes[0].time) == (front.uid, False, front.alerts()[-1].time)
    assert out.index(closes[0]) < min(i for i, alert in enumerate(out) if alert.uid == both.uid)


def test_the_close_that_waits_is_told_when_another_takes_the_front() -> None:
    event = {"ip": "203.0.113.7", "user": "sam"}
    front = Life("brute_force_ip", "203.0.113.7", 0, updates=0, evidences=(event,))
    long = Life("brute_force_user", "sam", 60, updates=8, evidences=(event,))
    grave = Life("deletion_surge_ip", "203.0.113.7", 1200, evidences=(event,), severity=4)
    out = decided(items([front, long, grave], random.Random(1)), configured())
    [close] = [alert for alert in told(out, CLOSE) if alert.uid == front.uid]
    assert (close.front, close.time) == (False, front.alerts()[-1].time)
    at = out.index(close)
    assert out[at - 1].uid == grave.uid or out[at + 1].uid == grave.uid


@pytest.mark.parametrize("grave", [False, True])
def test_a_member_of_a_detection_that_is_gone_holds_no_group(grave: bool) -> None:
    event = {"ip": "203.0.113.7", "user": "sam"}
    stays = Life("brute_force_ip", "203.0.113.7", 0, updates=1, evidences=(event,))
    goes = Life("brute_force_user", "sam", 60, updates=1, evidences=(event,), close=False, severity=3 + grave)
    step = Decide(policy(configured()), False, None)
    end = stays.alerts()[1].time // PANE_US + 1
    [out] = step.on_batch([item([*stays.findings(random.Random(1))[:2], *goes.findings(random.Random(1))], end)])[0]
    assert {alert.uid for alert in out if alert.front and alert.incident} == {goes.uid if grave else stays.uid}
    less = configured(rules=tuple(rule for rule in RULES.values() if rule.id != "brute_force_user"))
    again = Decide(policy(less), False, step.snapshot())
    [out] = again.on_batch([item(stays.findings(random.Random(1))[2:], 2**62, ended=True)])[0]
    assert [(alert.activity, alert.front) for alert in out] == [(CLOSE, not grave)]
    last = Life("brute_force_ip", "203.0.113.7", 1500)
    [out] = again.on_batch([item(last.findings(random.Random(1)), 2**62, ended=True)])[0]
    assert [(alert.incident, alert.front) for alert in out] == [(stays.uid, True)] * 3


def test_groups_that_turn_out_to_be_one_are_one() -> None:
    """Two accounts, attacked from different addresses; then an address that shows both."""
    a = Life("brute_force_user", "a", 0, updates=5, evidences=({"ip": "203.0.113.1", "user": "a"},))
    b = Life("brute_force_user", "b", 60, updates=5, evidences=({"ip": "203.0.113.2", "user": "b"},))
    ip = Life("brute_force_ip", "203.0.113.3", 700, evidences=({"user": "a"}, {"user": "b"}))
    out = decided(items([a, b, ip], random.Random(1)), configured())
    closes = {alert.uid: alert for alert in told(out, CLOSE)}
    assert {alert.incident for alert in closes.values()} == {a.uid}
    assert [uid for uid, alert in closes.items() if alert.front] == [a.uid]
    updates = [alert for alert in told(out, UPDATE) if alert.uid == b.uid]
    assert [alert.front for alert in updates] == [True] * 2 + [False] * 3


def test_a_spike_links_nobody_by_its_events() -> None:
    event = {"ip": "203.0.113.7", "user": "sam"}
    spike = Life("traffic_spike_ip", "203.0.113.7", 0, evidences=(event,))
    user = Life("brute_force_user", "sam", 60, evidences=({"ip": "203.0.113.8", "user": "sam"},))
    out = decided(items([spike, user], random.Random(1)), configured())
    assert {alert.incident for alert in out} == {""}


def test_an_early_create_does_not_wait_for_its_pane() -> None:
    """It is told when every shard has passed its base pane, twenty seconds before the pane of its rule is final."""
    life = Life("brute_force_user", "sam", 1)
    create = life.alerts()[0]
    pane = START // PANE_US + 1
    step = Decide(policy(configured()), False, None)
    found = item([], pane)
    found.findings.append(type(life.findings(random.Random(0))[0])(pane, create))
    assert step.on_batch([found])[0] == [[]]
    assert [alert.uid for alert in step.on_batch([item([], pane + 1)])[0][0]] == [create.uid]
    again = Decide(policy(configured()), False, step.snapshot())
    assert again.on_batch([item([], pane + 600)])[0] == [[]], "told once"


def test_batches_that_come_together_are_decided_one_after_another() -> None:
    """What is told early, and as what, hangs on what is known by then: not on how busy the machine is."""
    rng, pane = random.Random(0), START // PANE_US + 1
    items = []
    for at, life in enumerate((Life("brute_force_user", "sam", 1), Life("brute_force_user", "kim", 2))):
        found = item([], pane + at)
        found.findings.append(type(life.findings(rng)[0])(pane + at, life.alerts()[0]))
        items += [found, item([], pane + at + 1)]
    together, alone = (Decide(policy(configured()), False, None) for _ in range(2))
    told = together.on_batch(items)[0]
    assert told == [out for each in items for out in alone.on_batch([each])[0]]
    assert [len(out) for out in told] == [0, 1, 0, 1]


def test_where_nobody_comes_back_all_that_is_held_is_told_at_the_end() -> None:
    life = Life("brute_force_ip", "203.0.113.7", 1, close=False)
    stopped = [item(life.findings(random.Random(0)), START // PANE_US)]
    for flush, told_then in ((True, 2), (False, 0)):
        step = Decide(policy(configured()), flush, None)
        assert step.on_batch(stopped)[0] == [[]]
        assert len([alert for alerts in step.on_eof()[0] for alert in alerts]) == told_then
        assert bool(step.snapshot()) is not flush


@settings(max_examples=50)
@given(LIVES, st.integers(0, 2**32), st.sampled_from([1, 1000]))
def test_incidents_are_counted_once_in_their_hour(lives: list[Life], seed: int, most: int) -> None:
    rng = random.Random(seed)
    config = configured(most, [except_(id="by_agent", user_agent="Bot/*")])
    step, out = Decide(policy(config), False, None), list[Alert]()
    for one in items(lives, rng):
        out += step.on_batch([one])[0][0]
        if rng.random() < 0.4:
            step = Decide(policy(config), False, step.snapshot())
    expected: dict[str, dict[int, list[int]]] = {}
    for alert in out:
        if alert.activity == CREATE and not alert.digest:
            told = expected.setdefault(alert.detection, {}).setdefault(alert.time // HOUR_US, [0, 0])
            told[bool(alert.suppressed_by)] += 1
    assert msgspec.msgpack.decode(step.snapshot(), type=dict, strict=False)["incidents"] == expected
    assert sum(told + kept for hours in expected.values() for told, kept in hours.values()) == len(lives)


def test_incidents_are_counted_for_seven_days() -> None:
    week = 7 * 24 * 3600
    lives = [Life("brute_force_ip", f"203.0.113.{i}", at, updates=0) for i, at in enumerate((0, 0, week - 3600, week))]
    step = Decide(policy(configured()), False, None)
    for one in items(lives, random.Random(1)):
        step.on_batch([one])
    hours = msgspec.msgpack.decode(step.snapshot(), type=dict, strict=False)["incidents"]
    now = lives[-1].alerts()[0].time // HOUR_US
    assert [of_late(hours, "brute_force_ip", now + later) for later in (-1, 0, 1, 166, 167, 168)] == [
        (4, 0), (2, 0), (2, 0), (2, 0), (1, 0), (0, 0),
    ]  # fmt: skip


@settings(deadline=None)
@given(LIVES, st.integers(0, 9000), st.integers(0, 1 << 30))
def test_what_ended_before_a_first_run_is_no_alarm(lives: list[Life], second: int, seed: int) -> None:
    """Silent is what ended by then, with all its messages but updates; the rest is told as if nothing was past."""
    until = START + second * SECOND
    config = configured()
    spelled = datetime.fromtimestamp(until / 1e6, UTC).isoformat()
    past = msgspec.structs.replace(config, time=msgspec.structs.replace(config.time, learn_until=spelled))
    rng = random.Random(seed)
    steps = items(lives, rng)
    out = decided(steps, past, rng)
    ended = {life.uid for life in lives if life.alerts()[-1].activity == CLOSE and life.alerts()[-1].time <= until}
    silent = [alert for alert in out if alert.suppressed_by == "history"]
    assert {(alert.uid, alert.activity) for alert in silent} == {(uid, a) for uid in ended for a in (CREATE, CLOSE)}
    begun = [alert.uid for alert in told(out)]
    assert sorted(begun) == sorted(set(begun)), "each create once"
    later = {life.uid for life in lives if life.alerts()[-1].time > until}
    assert {*begun} == later
    assert {alert.uid for alert in told(out, CLOSE)} <= later


def test_the_slowest_source_is_waited_for() -> None:
    life = Life("brute_force_ip", "203.0.113.7", 1)
    finding = life.findings(random.Random(0))[0]
    step = Decide(policy(configured()), False, None)
    both = ("a", "b")
    step.on_batch([item([finding], finding.pane + 1, "a", both)])
    assert step.on_batch([item([], finding.pane + 1, "a", both)])[0] == [[]], "b may still bring something older"
    [out] = step.on_batch([item([], finding.pane + 1, "b", both)])[0]
    assert [alert.uid for alert in out] == [life.uid]


def test_all_ends_when_every_source_has_ended() -> None:
    """Whatever each shard had seen when it met the ends: two workers meet them in another order."""
    life = Life("brute_force_ip", "203.0.113.7", 1)
    step = Decide(policy(configured()), False, None)
    both = ("a", "b")
    step.on_batch([item(life.findings(random.Random(0)), START // PANE_US, "a", both, ended=True)])
    [out] = step.on_batch([item([], START // PANE_US, "b", both, ended=True)])[0]
    assert [alert.activity for alert in out] == [CREATE, UPDATE, CLOSE]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("agents", "silent"), [(["Bot/1", "Bot/2"], True), (["Bot/1", "Mozilla"], False), ([], False)])
def test_an_exception_by_user_agent_asks_every_evidence(early: bool, agents: list[str], silent: bool) -> None:
    rule, entity = ("brute_force_user", "sam") if early else ("brute_force_ip", "203.0.113.7")
    life = Life(rule, entity, 0, evidences=tuple({"user_agent": agent} for agent in agents))
    exceptions = [except_(id="scanner", user_agent="Bot/*", detection=rule)]
    out = decided(items([life], random.Random(3)), configured(exceptions=exceptions))
    assert {alert.suppressed_by for alert in out} == {"exception scanner" if silent else ""}
    assert [alert.activity for alert in out] == [CREATE, UPDATE, CLOSE]


@pytest.mark.parametrize(("after", "silent"), [(-1, False), (0, False), (1, True)])
def test_an_exception_ends_with_its_expiry(after: int, silent: bool) -> None:
    """By the event time at which the incident opened; one that it silenced stays silent."""
    life = Life("brute_force_ip", "203.0.113.7", 0)
    opened = life.alerts()[0].time
    assert opened == START + 30 * SECOND
    expiry = f"2026-11-23T05:00:{30 + after:02d}Z"
    exceptions = [AlertException(id="x", cidr="203.0.113.0/24", owner="soc", reason="r", expiry=expiry)]
    out = decided(items([life], random.Random(1)), configured(exceptions=exceptions))
    assert {alert.suppressed_by for alert in out} == {"exception x" if silent else ""}
    assert len(out) == 3


def test_an_excepted_incident_takes_no_place_and_links_nobody() -> None:
    lives = [Life("brute_force_ip", f"203.0.113.{i}", i) for i in range(4)]
    out = decided(items(lives, random.Random(1)), configured(1, [except_(id="x", cidr="203.0.113.0/31")]))
    assert Counter(a.suppressed_by.partition(" ")[0] for a in out if a.activity == CREATE) == {
        "exception": 2, "": 2, "digest": 1,
    }  # fmt: skip


def test_what_is_remembered_is_bounded_and_is_let_go() -> None:
    sizes: list[int] = []
    last = Life("brute_force_ip", "192.0.2.1", 40_000, updates=0, evidences=({"ip": "192.0.2.1"},))
    crowd = [Life("brute_force_user", f"user{i}", 1 + i % 3000, updates=0) for i in range(3000)]
    decided(items([*spray(400), *crowd, last], random.Random(1)), configured(50), snapshots=sizes)
    assert max(sizes) < 600_000
    assert sizes[-1] < 1_000, "what is left are the sums of drift, and the counts of a few hours"


def test_the_state_of_the_version_before_is_read() -> None:
    life = Life("brute_force_ip", "203.0.113.7", 1)
    finding = life.findings(random.Random(0))[0]
    old = msgspec.msgpack.encode({"version": 1, "passed": finding.pane, "held": [(finding.pane, finding.alert)]})
    step = Decide(policy(configured()), False, old)
    [out] = step.on_batch([item([], finding.pane + 1)])[0]
    assert [alert.uid for alert in out] == [life.uid]
    with pytest.raises(ValueError, match="version 3"):
        Decide(policy(configured()), False, msgspec.msgpack.encode({"version": 3, "passed": 0, "held": []}))


def test_a_detection_that_is_gone_is_forgotten() -> None:
    step = Decide(policy(configured(1)), False, None)
    lives = [Life("brute_force_ip", f"203.0.113.{i}", 1, close=False) for i in range(3)]
    step.on_batch(items(lives, random.Random(1), end=False))
    step.on_batch([item(Life("brute_force_ip", "203.0.113.9", 3000).findings(random.Random(1)), START // PANE_US)])
    less = configured(1, rules=tuple(rule for rule in RULES.values() if rule.id != "brute_force_ip"))
    again = Decide(policy(less), False, step.snapshot())
    assert again.on_batch([item([], 2**62, ended=True)])[0] == [[]]


def test_everything_that_is_told_is_a_detection_finding() -> None:
    schema = jsonschema.Draft202012Validator(json.loads((ROOT / "tests" / "ocsf-1.8.0.schema.json").read_text()))
    event = {"ip": "203.0.113.7", "user": "sam", "user_agent": "Bot/1"}
    lives = [
        *spray(9), Life("brute_force_user", "sam", 0, evidences=(event,)),
        Life("brute_force_ip", "203.0.113.7", 9, evidences=(event,)), Life("traffic_spike_tenant", "acme", 5),
        Life("deletion_surge_user", "rogue", 5),
    ]  # fmt: skip
    out = decided(items(lives, random.Random(1)), configured(3, [except_(id="x", user="rogue")]))
    kinds = Counter()
    for alert in out:
        found = json.loads(encode_alert(alert, about(RULES[alert.detection]), RULES[alert.detection], 0, "0"))
        schema.validate(found)
        assert found["is_alert"] is (alert.front and not alert.suppressed_by)
        assert found["metadata"]["correlation_uid"] == (alert.incident or alert.uid)
        assert (found["status_id"] == 3) is bool(alert.suppressed_by)
        assert len(found["message"]) < 2000
        kinds[bool(alert.digest), alert.front, alert.suppressed_by.partition(" ")[0]] += 1
    assert set(kinds) == {
        (False, True, ""), (False, False, ""), (False, True, "digest"), (False, True, "exception"), (True, True, ""),
    }  # fmt: skip
    [digest] = [alert for alert in out if alert.digest and alert.activity == CLOSE]
    found = json.loads(encode_alert(digest, about(RULES[digest.detection]), RULES[digest.detection], 0, "0"))
    assert found["message"] == (
        "Storm of password spray from one IP is over: 6 more incidents in tenant acme in the hour from "
        "2026-11-23 05:00:00 UTC, beyond the 3 told one by one, 192 events so far; largest: 203.0.113.3 (32), "
        "203.0.113.4 (32), 203.0.113.5 (32) and 3 more"
    )
    assert len(found["finding_info"]["related_events"]) == 6
    assert MINUTE
