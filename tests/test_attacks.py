"""Each kind of attack: beyond the published thresholds that should see it, below all others, and labelled true."""

import collections
import json
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from flows.formats.simulated import ALL
from flows.formats.truth import Truth
from models.simulation.attacks.plan import KINDS
from tests.naive_rules import Event, Sliding, address, crossings, failed, path, person, seconds
from tests.simulated_runs import Run, run

BEHAVIOUR = {"scraper", "mix_turn", "night_reads", "endpoint_pattern"}


@pytest.fixture(scope="module")
def everything() -> Run:
    return run(150_000, 21, hours=20, start=datetime(2026, 11, 5, 12, tzinfo=UTC), attack_count=36)


def most(events: list[Event], window: float, by: Callable[[Event], object] = lambda event: 0,
         of: Callable[[Event], object] | None = None) -> int:  # fmt: skip
    """The most events, or different values, that one entity has within so many seconds."""
    rows = Sliding(window)
    greatest = 0
    for event in sorted(events, key=seconds):
        values = rows.add(by(event), seconds(event), of(event) if of else None)
        greatest = max(greatest, len(set(values)) if of else len(values))
    return greatest


def attacks(a_run: Run, kind: str) -> list[tuple[Truth, list[Event]]]:
    found = [(truth, a_run.of(truth)) for truth in a_run.truth if truth.kind == kind]
    assert found, f"no {kind}"
    return found


def failures(events: list[Event]) -> list[Event]:
    return [event for event in events if failed(event)]


def test_every_kind_comes_more_than_once(everything: Run) -> None:
    kinds = collections.Counter(truth.kind for truth in everything.truth)
    assert set(kinds) == set(ALL) == set(KINDS)
    assert sum(kinds.values()) >= 30
    assert all(truth.expected == list(KINDS[truth.kind].expected) for truth in everything.truth)


def test_labels_are_of_the_run_and_within_their_times(everything: Run) -> None:
    lines = everything.lines.splitlines()
    ids = [one for truth in everything.truth for one in truth.events]
    assert len(ids) == len(set(ids))
    by_id = {event["id"]: event for event in everything.events}
    dead = 0
    for truth in everything.truth:
        times = [by_id[one]["time"] for one in truth.events if one in by_id]
        if truth.kind == "dead_letter_surge":
            assert times == []
            numbers = [int(one.split("-")[1]) for one in truth.events]
            assert all(0 <= number < len(lines) for number in numbers)
            dead += len(numbers)
            continue
        assert len(times) == len(truth.events)
        assert (min(times), max(times)) == (truth.start, truth.end)
    assert dead == len(lines) - len(everything.events) > 0
    # Whatever is not an attack's is never labelled: an event of an entity that only attackers have is in some attack
    hosts = {ip for truth in everything.truth if truth.kind == "slow_spray" for ip in truth.entities["ip"]}
    assert {event["id"] for event in everything.events if event["ip"] in hosts} <= set(ids)


def test_entities_are_those_of_the_events(everything: Run) -> None:
    for truth in everything.truth:
        events = everything.of(truth)
        if not events:
            assert not any(truth.entities.values())
            continue
        seen = {
            "ip": {address(event) for event in events},
            "user": {person(event) for event in events} - {""},
            "endpoint": {path(event) for event in events},
            "tenant": {event["tenant"] for event in events},
        }
        assert len(seen["tenant"]) == 1
        named = {dimension: set(values) for dimension, values in truth.entities.items() if values}
        assert named
        assert named == {dimension: seen[dimension] for dimension in named}, truth.attack


def test_successes_are_sign_ins_that_got_in(everything: Run) -> None:
    for truth in everything.truth:
        expected = [
            event["id"]
            for event in everything.of(truth)
            if event["action"] == "login" and event["outcome"] in ("success", "challenge")
        ]
        assert sorted(truth.successes) == sorted(expected)


def test_counting_attacks_cross_their_rule(everything: Run) -> None:
    crossed = crossings(everything.events)
    for kind in ("brute_force", "password_spray", "deletion_surge"):
        for truth, _ in attacks(everything, kind):
            entities = set(truth.entities["ip"]) | set(truth.entities["user"])
            assert any(rule.startswith(kind) and entity in entities for rule, entity in crossed), truth.attack


def test_floods_are_floods(everything: Run) -> None:
    for _, events in attacks(everything, "traffic_spike"):
        assert most(events, 60) >= 500


def test_stuffing_tries_many_accounts_once(everything: Run) -> None:
    for _, events in attacks(everything, "credential_stuffing"):
        tries = collections.Counter(map(person, events))
        assert max(tries.values()) == 1
        for ip in {event["ip"] for event in events}:
            bad = failures([event for event in events if event["ip"] == ip])
            assert most(bad, 900) >= 25
            assert most(bad, 900, of=person) >= 15
        assert sum(event.get("reason") == "unknown_user" for event in events) > 0.15 * len(events)
        assert sum(map(failed, events)) > 0.9 * len(events)


def test_a_spray_tries_each_account_more_than_once(everything: Run) -> None:
    for _, events in attacks(everything, "password_spray"):
        tries = collections.Counter(map(person, events))
        assert sum(count >= 2 for count in tries.values()) > 0.6 * len(tries)
        assert max(tries.values()) <= 8


def test_distributed_brute_force_stays_below_every_address_limit(everything: Run) -> None:
    for truth, events in attacks(everything, "distributed_brute_force"):
        bad = failures(events)
        assert len(truth.entities["user"]) == 1
        assert most(bad, 1800, of=address) >= 8
        assert most(bad, 1800) >= 10
        assert most(bad, 600, by=address) < 10


def test_a_distributed_spray_stays_below_every_limit_but_the_tenants(everything: Run) -> None:
    for truth, events in attacks(everything, "distributed_spray"):
        bad = failures(events)
        assert truth.entities["tenant"] == [events[0]["tenant"]]
        assert most(bad, 900, of=address) > 20
        assert most(bad, 900, of=person) > 20
        assert most(bad, 900, by=person) <= 5
        assert most(bad, 900, by=address, of=person) < 15
        assert len({event["user_agent"] for event in events}) == 1


def test_a_slow_spray_stays_below_the_spray_limit_and_is_even(everything: Run) -> None:
    for _, events in attacks(everything, "slow_spray"):
        bad = failures(events)
        assert len(set(map(person, bad))) >= 20
        assert most(bad, 900, of=person) < 15
        gaps = np.diff([seconds(event) for event in events])
        assert gaps.std() / gaps.mean() < 0.3


def test_reset_surges_are_by_address_or_by_account(everything: Run) -> None:
    forms = set()
    for truth, events in attacks(everything, "reset_surge"):
        assert {event["action"] for event in events} == {"password_reset_request"}
        single = len(truth.entities["user"]) == 1
        forms.add(single)
        assert most(events, 3600, by=person) >= 5 if single else most(events, 900, by=address, of=person) >= 15
    assert forms == {True, False}


def test_an_error_surge_fails_for_many_and_is_no_flood(everything: Run) -> None:
    for truth, events in attacks(everything, "error_surge"):
        start, end = seconds(events[0]), seconds(events[-1])
        around = [
            event
            for event in everything.events
            if [path(event)] == truth.entities["endpoint"] and start <= seconds(event) <= end
        ]
        errors = [event for event in around if event["status"] >= 400]
        assert len(errors) > 0.7 * len(around)
        assert most(errors, 300) >= 100
        assert most(around, 60) < 200
        assert len(set(map(person, events))) > 15
        assert not failures(events)


def test_a_takeover_is_failures_then_a_success_then_data(everything: Run) -> None:
    for truth, events in attacks(everything, "takeover"):
        (success,) = (event for event in events if event["id"] in truth.successes)
        at = events.index(success)
        victim = person(success)
        assert all(map(failed, events[:at]))
        assert any(person(event) == victim for event in events[:at])
        assert at >= 20
        actions = [event["action"] for event in events[at:]]
        assert {"email_change", "data_export"} <= set(actions)
        assert actions.index("email_change") < actions.index("data_export")
        assert {person(event) for event in events[at:]} == {victim}
        assert seconds(success) - seconds(events[at - 1]) < 1800


def test_a_dead_letter_surge_is_many_lines_in_many_forms(everything: Run) -> None:
    lines = everything.lines.splitlines()
    for truth in (one for one in everything.truth if one.kind == "dead_letter_surge"):
        broken = [lines[int(one.split("-")[1])] for one in truth.events]
        assert len(broken) >= 150
        assert len({line[:12] for line in broken}) >= 4
        length = datetime.fromisoformat(truth.end) - datetime.fromisoformat(truth.start)
        assert length.total_seconds() <= 300


def test_behaviour_crosses_no_threshold(everything: Run) -> None:
    for kind in BEHAVIOUR:
        for truth, events in attacks(everything, kind):
            assert crossings(events) == set()
            assert most(events, 60) < 40, truth.attack
            assert most([event for event in events if event["status"] >= 400], 300) < 100
            assert most([event for event in events if "target" in event], 600, of=lambda event: event["target"]) <= 50
            assert not failures(events)


def test_a_scraper_reads_widely_at_even_gaps(everything: Run) -> None:
    for _, events in attacks(everything, "scraper"):
        gaps = np.diff([seconds(event) for event in events])
        assert gaps.std() / gaps.mean() < 0.2
        assert len(set(map(path, events))) > 20
        assert {event["method"] for event in events} == {"GET"}


def test_a_mix_turns(everything: Run) -> None:
    for truth, events in attacks(everything, "mix_turn"):
        (user,) = truth.entities["user"]
        before = [event for event in everything.ordinary if person(event) == user and event["time"] < truth.start]
        assert len(before) >= 10
        usual = collections.Counter(map(path, before))
        assert sum(usual[path(event)] for event in events) / len(events) / len(before) < 0.2
        assert "/v2/auth/token/refresh" not in set(map(path, events))


def test_a_key_reads_at_night_that_only_worked_by_day(everything: Run) -> None:
    offset = {"acme": 1, "globex": -5, "initech": 5.5}
    for truth, events in attacks(everything, "night_reads"):
        (user,) = truth.entities["user"]
        hours = {int(seconds(event) / 3600 + offset[event["tenant"]]) % 24 for event in events}
        assert hours <= {23, 0, 1, 2, 3, 4}
        usual = [event for event in everything.ordinary if event.get("user") == user]
        assert usual
        assert all(6 <= (seconds(event) / 3600 + offset[event["tenant"]]) % 24 < 21.5 for event in usual)
        assert {event["action"] for event in events} == {"data_read", "data_export"}
        assert "data_read" not in {event["action"] for event in usual}


def test_an_endpoint_gets_methods_that_it_never_has(everything: Run) -> None:
    for truth, events in attacks(everything, "endpoint_pattern"):
        (endpoint,) = truth.entities["endpoint"]
        usual = {event["method"] for event in everything.ordinary if path(event) == endpoint}
        assert len({event["method"] for event in events} - usual) >= 3
        assert len({event["status"] for event in events}) >= 3


def test_kinds_and_counts_are_as_asked() -> None:
    chosen = ("slow_spray", "reset_surge")
    asked = run(60_000, 4, hours=12, attacks=chosen, attack_count=9)
    assert {truth.kind for truth in asked.truth} == set(chosen)
    assert len(asked.truth) == 9
    spaced = run(60_000, 4, hours=12, attacks=chosen, attack_every=90 * 60_000_000)
    assert len(spaced.truth) == 6  # nine hours behind the first quarter
    assert len(spaced.events) == 60_000


@pytest.mark.parametrize("seed", range(12))
def test_small_and_odd_runs_hold_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = int(rng.choice([1, 7, 500, 5_000]))
    hours, count = float(rng.choice([0.01, 0.3, 5, 100, 2_000])), int(rng.integers(1, 60))
    odd = run(events, seed, users=50, hours=hours, attack_count=count)
    assert odd.lines.count(b"\n") == events
    assert sum(len(truth.events) for truth in odd.truth) <= 0.15 * events


def test_seeds_vary_how_hard_an_attack_is() -> None:
    sizes = set()
    for seed in range(6):
        truth = run(20_000, seed, hours=2, attacks=("brute_force",), attack_count=1).truth
        sizes.add(len(truth[0].events))
    assert len(sizes) >= 4


def test_a_truth_line_has_every_member(everything: Run) -> None:
    from flows.formats.truth import encode_truth

    members = set(json.loads(encode_truth(everything.truth[:1])))
    assert members == {"attack", "kind", "entities", "start", "end", "events", "expected", "successes"}
