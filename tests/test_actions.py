"""Block candidates: who is one, who never is, and the lists that come of them."""

import ipaddress
import json
import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.formats.actions import Action, ActionLimits, action
from flows.formats.blocklist import FORMATS, in_force
from models.alert import CLOSE, CREATE, Alert
from models.exceptions import network
from models.rules import about
from tests.command import lapwing
from tests.findings import RULES, START, Life, configured, decided, items

LIMITS = ActionLimits(3600)


def candidate(alert: Alert, limits: ActionLimits = LIMITS) -> dict[str, Any] | None:
    found = action(alert, about(RULES[alert.detection]), limits)
    return None if found is None else json.loads(found)


def of(
    entity: str = "203.0.113.7", failed: int | None = 20, succeeded: int | None = 1, rule: str = "brute_force_ip"
) -> Alert:
    return Life(rule, entity, 0, failed=failed, succeeded=succeeded).alerts()[0]


def test_a_candidate_in_full() -> None:
    alert = of()
    assert candidate(alert) == {
        "time": START // 1000 + 30_000, "action": "block", "entity": "203.0.113.7", "dimension": "ip", "tenant": "acme",
        "ttl": 3600, "uid": alert.uid, "risk": 60, "reason": "Brute force from one IP",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("failed", "succeeded", "there"),
    [(20, 20, True), (20, 21, False), (0, 0, True), (None, 0, False), (20, None, False), (None, None, False)],
)
def test_an_address_where_more_get_in_than_fail_is_none(failed: int | None, succeeded: int | None, there: bool) -> None:
    assert (candidate(of(failed=failed, succeeded=succeeded)) is not None) is there


@pytest.mark.parametrize(
    "entity",
    [
        "10.1.2.3", "127.0.0.1", "192.168.7.7", "172.31.0.1", "100.64.3.3", "169.254.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::/64", "fc00:1::/64", "::/64", "::ffff:10.0.0.1",
    ],
)  # fmt: skip
def test_an_address_of_the_inside_is_none_unless_allowed(entity: str) -> None:
    assert candidate(of(entity)) is None
    assert candidate(of(entity), ActionLimits(3600, inner=True)) is not None


def test_networks_that_are_never_blocked() -> None:
    limits = ActionLimits(60, True, (network("203.0.113.0/28"), network("2001:db8:0:1::7/128")))
    assert candidate(of("203.0.113.15"), limits) is None
    assert candidate(of("203.0.113.16"), limits) is not None
    assert candidate(of("2001:db8:0:1::/64"), limits) is None, "the network holds the address"
    assert candidate(of("2001:db8:0:2::/64"), limits) is not None
    assert candidate(of("not an address"), limits) is None


@pytest.mark.parametrize(
    ("rule", "entity", "what"),
    [
        ("brute_force_user", "sam", None), ("deletion_surge_user", "rogue", "suspend"),
        ("deletion_surge_ip", "203.0.113.7", "block"), ("traffic_spike_tenant", "acme", None),
        ("traffic_spike_endpoint", "/login", None), ("traffic_spike_ip", "203.0.113.7", "block"),
    ],
)  # fmt: skip
def test_only_who_does_it_is_one(rule: str, entity: str, what: str | None) -> None:
    found = candidate(of(entity, rule=rule))
    assert (found and found["action"]) == what


def test_what_is_over_or_excepted_is_none_and_what_a_digest_tells_is_one() -> None:
    alert = of()
    assert candidate(msgspec.structs.replace(alert, activity=CLOSE)) is None
    assert candidate(msgspec.structs.replace(alert, suppressed_by="exception x")) is None
    assert candidate(msgspec.structs.replace(alert, suppressed_by="shadow")) is None
    assert candidate(msgspec.structs.replace(alert, suppressed_by="history")) is None
    assert candidate(msgspec.structs.replace(alert, suppressed_by="digest x")) is not None


def test_a_storm_proposes_every_address_once_for_each_message() -> None:
    lives = [Life("password_spray_ip", f"203.0.113.{i}", i % 50, failed=20, succeeded=0) for i in range(200)]
    out = decided(items(lives, random.Random(1)), configured(10))
    found = [one for alert in out if (one := candidate(alert))]
    assert len(found) == 400, "a create and an update each"
    decoded = [msgspec.convert(one, Action) for one in found]
    assert len(in_force(decoded, START // 1000 + 120_000)) == 200
    assert sum(alert.activity == CREATE and not alert.suppressed_by and not alert.digest for alert in out) == 10


ENTITY = (
    st.ip_addresses().map(str)
    | st.ip_addresses(v=6).map(lambda a: str(ipaddress.ip_network((int(a), 64), strict=False)))
    | st.text(max_size=20) | st.sampled_from(["203.0.113.7; }", "1.2.3.4\ndeny all;", "::1%eth0", "0x7f.1", "0/0"])
)  # fmt: skip
ACTIONS = st.lists(
    st.builds(
        Action, st.integers(0, 20_000), st.sampled_from(["block", "block", "suspend"]), ENTITY, st.just("ip"),
        st.text(max_size=5), st.integers(1, 20), st.text("abc", min_size=1, max_size=4), st.integers(40, 95),
        st.text(max_size=9),
    ),
    max_size=12,
)  # fmt: skip


@given(ACTIONS, st.integers(0, 40_000))
def test_a_list_has_addresses_only_each_once_in_order(actions: list[Action], at: int) -> None:
    blocks = in_force(actions, at)
    plain = [FORMATS["plain"](block) for block in blocks]
    networks = [network(line) for line in plain]
    assert networks == sorted(set(networks), key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    assert [FORMATS["haproxy"](block) for block in blocks] == plain
    for line, block in zip(plain, blocks, strict=True):
        assert re.fullmatch(r"[0-9a-f:./]+", line)
        assert FORMATS["nginx"](block) == f"deny {line};"
        told = FORMATS["json"](block)
        assert "\n" not in told
        assert json.loads(told)["address"] == line
    due = {
        one.entity: one for one in actions if one.action == "block" and one.time <= at < one.time + 1000 * one.ttl
    }  # fmt: skip
    valid = set()
    for entity in due:
        try:
            valid.add(network(entity))
        except ValueError:
            continue
    assert set(networks) == valid
    assert in_force(actions[::-1], at) == blocks, "the order of the file is nothing"


@pytest.fixture
def folder(tmp_path):
    rows = [
        Action(START // 1000, "block", "203.0.113.7", "ip", "acme", 3600, "aa", 60, "Brute force from one IP"),
        Action(START // 1000 + 60_000, "block", "203.0.113.7", "ip", "other", 3600, "bb", 80, "Traffic spike"),
        Action(START // 1000, "block", "2001:db8:0:7::/64", "ip", "acme", 60, "cc", 60, "Password spray from one IP"),
        Action(START // 1000, "suspend", "rogue", "user", "acme", 3600, "dd", 80, "Account-deletion surge"),
    ]
    (tmp_path / "actions.ndjson").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return tmp_path


def out_of(*arguments: Any) -> list[str]:
    done = lapwing("blocklist", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def test_the_command(folder) -> None:
    at = ("--at", "2026-11-23T05:00:30Z")
    assert out_of("--input", folder, *at) == ["203.0.113.7", "2001:db8:0:7::/64"]
    assert out_of("--input", folder / "actions.ndjson", "--at", "2026-11-23T06:00:30Z", "--format", "nginx") == [
        "deny 203.0.113.7;"
    ]
    assert out_of("--input", folder) == []
    assert out_of("--input", folder, *at, "--tenant", "other") == []
    [line] = out_of("--input", folder, "--at", "2026-11-23T05:02:00Z", "--format", "json")
    assert json.loads(line) == {
        "address": "203.0.113.7", "until": START // 1000 + 3_660_000, "risk": 80, "reason": "Traffic spike",
        "tenants": ["acme", "other"], "uids": ["aa", "bb"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--at", "noon"), 2, "--at 'noon' is no RFC 3339 time"),
        (("--input", "nowhere"), 1, "nowhere: cannot be read"),
        (("--format", "iptables"), 2, "iptables"),
    ],
)
def test_mistakes(folder, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = lapwing("blocklist", *(("--input", folder) if "--input" not in arguments else ()), *arguments)
    assert done.returncode == code
    assert said in done.stderr.decode()
    (folder / "actions.ndjson").write_bytes(b"{}\n")
    broken = lapwing("blocklist", "--input", folder)
    assert broken.returncode == 1
    assert "line 1 is no action" in broken.stderr.decode()
