"""What the first detections mean, event by event over plain dicts, with exact sliding windows instead of panes."""

import ipaddress
import re
from collections import defaultdict, deque
from datetime import datetime
from typing import Any

Event = dict[str, Any]
SIGNING_IN = {"login", "mfa_challenge", "token_issue", "token_refresh"}
BY_ACTOR = {
    "account_delete", "account_lock", "account_unlock", "role_change", "policy_change", "api_key_change", "data_read",
    "data_export",
}  # fmt: skip


def seconds(event: Event) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def address(event: Event) -> str:
    ip = ipaddress.ip_address(event["ip"])
    return event["ip"] if ip.version == 4 else str(ipaddress.ip_network(f"{ip}/64", strict=False))


def person(event: Event) -> str:
    name = str(event.get("username", event.get("user", ""))).lower()
    return event.get("actor", name) if event["action"] in BY_ACTOR else name


def path(event: Event) -> str:
    return re.sub(r"/8f3a[0-9a-f]{8}(?=/|$)", "/{id}", event["endpoint"])


def failed(event: Event) -> bool:
    return event["action"] in SIGNING_IN and event["outcome"] in ("failure", "blocked")


class Sliding:
    """Per entity, what was added within the last so many seconds."""

    def __init__(self, length: float) -> None:
        self.length = length
        self.rows: dict[Any, deque[tuple[float, Any]]] = defaultdict(deque)

    def add(self, entity: Any, time: float, value: Any = None) -> list[Any]:
        rows = self.rows[entity]
        rows.append((time, value))
        while rows[0][0] < time - self.length:
            rows.popleft()
        return [value for _, value in rows]


def crossings(events: list[Event]) -> set[tuple[str, str]]:
    """(detection, entity) of everything that crosses a counting rule; traffic spikes are left to `busiest_minutes`."""
    out: set[tuple[str, str]] = set()
    user10, ip10, ip15 = Sliding(600), Sliding(600), Sliding(900)
    deleted = {"user": Sliding(600), "ip": Sliding(600)}
    for event in sorted(events, key=seconds):
        time, ip, user = seconds(event), (event["tenant"], address(event)), (event["tenant"], person(event))
        if event["action"] in SIGNING_IN:
            bad = failed(event)
            if bad and user[1] and len(user10.add(user, time)) >= 10:
                out.add(("brute_force_user", user[1]))
            if bad:
                users = ip10.add(ip, time, user[1])
                if len(users) >= 20 and len(set(users)) < 5:
                    out.add(("brute_force_ip", ip[1]))
            if bad or event["outcome"] == "success":
                met = ip15.add(ip, time, (bad, user[1]))
                wrong = {name for is_bad, name in met if is_bad}
                if len(wrong) >= 15 and len(wrong) > len({name for is_bad, name in met if not is_bad}):
                    out.add(("password_spray_ip", ip[1]))
        if event["action"] == "account_delete":
            target = event.get("target", event.get("user"))
            for dimension, entity in (("user", user), ("ip", ip)):
                if entity[1] and len(set(deleted[dimension].add(entity, time, target))) >= 5:
                    out.add((f"deletion_surge_{dimension}", entity[1]))
    return out


def busiest_minutes(events: list[Event]) -> dict[tuple[str, str, str], tuple[int, float]]:
    """Each tenant, endpoint and IP with a minute of 200 events: its busiest minute, alone and over its mean rate."""
    by_entity: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        for dimension, name in (("tenant", ""), ("endpoint", path(event)), ("ip", address(event))):
            by_entity[(event["tenant"], dimension, name)].append(seconds(event))
    out = {}
    for entity, times in by_entity.items():
        if len(times) < 200:
            continue
        times.sort()
        first = 0
        most = 0
        for last, time in enumerate(times):
            while times[first] < time - 60:
                first += 1
            most = max(most, last - first + 1)
        if most >= 200:
            out[entity] = (most, most / (len(times) / max((times[-1] - times[0]) / 60, 1)))
    return out
