"""The base detections on events: each crosses at its limit and not one event below, and on labelled attacks only."""

import json
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from flows.connectors.partition import ClockParams, Partition
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.simulated import simulate
from models.base import DIMENSIONS
from models.rules.defaults import BASE
from models.rules.program import compile_rules
from tests.naive_meters import crossings
from tests.test_decode import batch

START = 1_763_874_000
PROGRAM = compile_rules(BASE)


def crossed(lines: list[bytes]) -> dict[str, set[tuple[str, ...]]]:
    """The entities, by name, that crossed at any time, for each detection that crossed."""
    partition = Partition("a", ("a",), lambda raw: decode(raw, Limits(), PROGRAM), ClockParams())
    batches = []
    for at in range(0, len(lines), 4096):
        raw = batch(lines[at : at + 4096])
        partition.feed(replace(raw, offset=raw.offset + at), ended=at + 4096 >= len(lines))
        while partition.pending:
            batches.append(partition.take())
    assert sum(map(len, batches)) == len(lines)
    names = {
        (d, int(item.entity[d, row])): item.name(d, row)
        for item in batches
        for d in range(len(DIMENSIONS))
        for row in range(len(item))
    }
    out: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for detection, found in zip(PROGRAM.detections, crossings(PROGRAM, batches), strict=True):
        for entity, _ in found:
            out[detection.id].add(tuple(names[d, one] for d, one in zip(detection.by, entity, strict=True)))
    return dict(out)


def spread(count: int, minutes: float, **members: Any) -> list[bytes]:
    """So many events, evenly over the minutes; a list of values is gone through again and again."""
    lines = []
    for k in range(count):
        event = {name: value[k % len(value)] if isinstance(value, list) else value for name, value in members.items()}
        lines.append(json.dumps({"time": START + minutes * 60 * k / count, **event}).encode())
    return lines


def users(count: int) -> list[str]:
    return [f"u{k}" for k in range(count)]


def ips(count: int) -> list[str]:
    return [f"203.0.113.{k}" for k in range(count)]


FAILED: dict[str, Any] = {"action": "login", "outcome": "failure"}
SIGNED_IN: dict[str, Any] = {"action": "login", "outcome": "success"}
DELETED: dict[str, Any] = {"action": "account_delete", "outcome": "success"}
RESET: dict[str, Any] = {"action": "password_reset_request", "outcome": "success"}
UNKNOWN: dict[str, Any] = {**FAILED, "reason": "unknown_user"}
IP = "198.51.100.7"


@pytest.mark.parametrize(
    ("detection", "entity", "crossing", "below"),
    [
        (
            "brute_force_user",
            "u",
            [spread(10, 9, user="u", ip=ips(10), **FAILED)],
            [spread(9, 9, user="u", **FAILED), spread(10, 30, user="u", **FAILED)],
        ),
        (
            "brute_force_ip",
            IP,
            [spread(20, 9, user=users(4), ip=IP, **FAILED)],
            [spread(19, 9, user=users(4), ip=IP, **FAILED), spread(20, 9, user=users(5), ip=IP, **FAILED)],
        ),
        (
            "password_spray_ip",
            IP,
            [
                spread(15, 13, user=users(15), ip=IP, **FAILED),
                spread(14, 1, user=users(14), ip=IP, **SIGNED_IN) + spread(15, 13, user=users(15), ip=IP, **FAILED),
            ],
            [
                spread(40, 13, user=users(14), ip=IP, **FAILED),
                spread(15, 1, user=users(15), ip=IP, **SIGNED_IN) + spread(15, 13, user=users(15), ip=IP, **FAILED),
            ],
        ),
        (
            "slow_spray_ip",
            IP,
            [
                spread(20, 115, user=users(20), ip=IP, **FAILED),
                spread(19, 9, user=users(19), ip=IP, **SIGNED_IN)
                + spread(60, 9, user=users(60), ip=IP, action="token_refresh", outcome="success")
                + spread(20, 115, user=users(20), ip=IP, **FAILED),
            ],
            [
                spread(60, 115, user=users(19), ip=IP, **FAILED),
                spread(60, 420, user=users(60), ip=IP, **FAILED),
                spread(20, 1, user=users(20), ip=IP, **SIGNED_IN) + spread(20, 115, user=users(20), ip=IP, **FAILED),
            ],
        ),
        (
            "credential_stuffing_ip",
            IP,
            [spread(25, 13, user=users(15), ip=IP, **UNKNOWN)],
            [
                spread(24, 13, user=users(15), ip=IP, **UNKNOWN),
                spread(38, 0.9, user=users(15), ip=IP, **UNKNOWN),
                spread(25, 13, user=users(14), ip=IP, **UNKNOWN),
                spread(13, 13, user=users(15), ip=IP, **FAILED) + spread(12, 1, user=users(15), ip=IP, **UNKNOWN),
            ],
        ),
        (
            "distributed_brute_force_user",
            "u",
            [spread(10, 28, user="u", ip=ips(8), **FAILED)],
            [spread(9, 28, user="u", ip=ips(8), **FAILED), spread(30, 28, user="u", ip=ips(7), **FAILED)],
        ),
        (
            "distributed_spray_tenant",
            "default",
            [
                spread(25, 13, user=users(8), ip=ips(5), **FAILED),
                spread(40, 0.05, user=users(40), ip=[*ips(4), *[IP] * 36], **FAILED),
                spread(7, 1, user=users(7), **SIGNED_IN)
                + spread(60, 1, user=users(60), action="token_refresh", outcome="success")
                + spread(25, 13, user=users(8), ip=ips(5), **FAILED),
            ],
            [
                spread(8, 1, user=users(8), **SIGNED_IN) + spread(25, 13, user=users(8), ip=ips(5), **FAILED),
                spread(24, 13, user=users(8), ip=ips(5), **FAILED),
                spread(25, 13, user=users(7), ip=ips(5), **FAILED),
                spread(25, 13, user=users(8), ip=ips(4), **FAILED),
                spread(41, 0.05, user=users(41), ip=[*ips(4), *[IP] * 37], **FAILED),
                spread(40, 0.9, user=users(8), ip=ips(5), **FAILED),
            ],
        ),
        (
            "deletion_surge_user",
            "boss",
            [spread(5, 9, actor="boss", target=users(5), **DELETED)],
            [spread(4, 9, actor="boss", target=users(4), **DELETED), spread(9, 9, actor="boss", target="u", **DELETED)],
        ),
        (
            "deletion_surge_ip",
            IP,
            [spread(5, 9, ip=IP, user=users(5), **DELETED)],
            [spread(8, 9, ip=IP, user=users(4), **DELETED)],
        ),
        (
            "reset_surge_ip",
            IP,
            [spread(15, 13, ip=IP, user=users(15), **RESET)],
            [spread(40, 13, ip=IP, user=users(14), **RESET)],
        ),
        (
            "reset_surge_user",
            "u",
            [spread(5, 50, user="u", ip=ips(5), **RESET)],
            [spread(4, 50, user="u", **RESET), spread(5, 90, user="u", **RESET)],
        ),
        (
            "error_surge_endpoint",
            "/pay",
            [spread(100, 4, endpoint="/pay", status=[200, 503])],
            [
                spread(98, 4, endpoint="/pay", status=[200, 503]),
                spread(99, 4, endpoint="/pay", status=[200, 503, 200]),
                spread(400, 4, endpoint="/pay", status=401, **FAILED),
            ],
        ),
        (
            "server_errors_endpoint",
            "/pay",
            [spread(200, 4, endpoint="/pay", status=500) + spread(300, 4, endpoint="/pay", status=200)],
            [spread(199, 4, endpoint="/pay", status=500), spread(400, 4, endpoint="/pay", status=499)],
        ),
    ],
    ids=[rule.id for rule in BASE],
)
def test_a_base_detection_crosses_at_its_limit(
    detection: str, entity: str, crossing: list[list[bytes]], below: list[list[bytes]]
) -> None:
    for lines in crossing:
        assert crossed(sorted(lines, key=when)).get(detection) == {(entity,)}
    for lines in below:
        assert detection not in crossed(sorted(lines, key=when))


def when(line: bytes) -> float:
    return float(json.loads(line)["time"])


def test_the_simulated_attacks_are_found_and_nothing_else() -> None:
    chunks = [*simulate(50_000, 7, hours=0.5)]
    lines = b"".join(chunk.lines for chunk in chunks).splitlines()
    truth = {attack.kind: attack.entities for chunk in chunks for attack in chunk.truth}
    assert truth.keys() >= {"brute_force", "password_spray", "deletion_surge"}

    def of(kind: str, dimension: str) -> set[tuple[str, ...]]:
        return {(name,) for name in truth[kind][dimension]}

    found = crossed(lines)
    assert found == {
        "brute_force_user": of("brute_force", "user"),
        "brute_force_ip": of("brute_force", "ip"),
        "password_spray_ip": of("password_spray", "ip") | of("credential_stuffing", "ip"),
        "slow_spray_ip": of("password_spray", "ip") | of("credential_stuffing", "ip"),
        "credential_stuffing_ip": of("credential_stuffing", "ip"),
        "deletion_surge_user": of("deletion_surge", "user"),
        "deletion_surge_ip": of("deletion_surge", "ip"),
    }
