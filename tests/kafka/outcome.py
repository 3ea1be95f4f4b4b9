"""What a run has left in its topics, and how two runs differ."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from flows.kafka_block import Topics
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import read, settle


@dataclass
class Outcome:
    """Results as `read_committed` consumers see them, each with how often it stands there."""

    scored: Counter[tuple[int, str]]
    dead: Counter[tuple[str, int, int]]
    alerts: Counter[tuple[str, int, int]]
    incidents: dict[str, tuple[Any, ...]]
    windows: Counter[str]
    actions: Counter[str]


def topics_of(prefix: str, events: str = "") -> Topics:
    """Topics of their own for one run."""
    names = {key: f"{prefix}-{key.replace('_', '-')}" for key in Topics.__struct_fields__}
    return Topics(**(names | ({"events": events} if events else {})))


def make_topics(kafka: Endpoint, topics: Topics, partitions: int, **config: str) -> None:
    """All of them, but the topic of events where it is there."""
    compacted = {topics.latest, topics.markers}
    known = kafka.names()
    kafka.make_all(
        {
            name: (
                partitions if name in (topics.events, topics.scored) else 4,
                ({"cleanup.policy": "compact"} if name in compacted else {}) | config,
            )
            for name in (getattr(topics, key) for key in Topics.__struct_fields__)
            if name not in known
        }
    )


def outcome(kafka: Endpoint, topics: Topics) -> Outcome:
    """All that a run has left."""

    def values(topic: str) -> list[tuple[int, Any]]:
        settle(kafka.client(), topic)
        return [(found.partition, json.loads(found.value or b"null")) for found in read(kafka.client(), topic)]

    alerts = [alert for name in (topics.alerts, topics.suppressed) for _, alert in values(name)]
    incidents: dict[str, tuple[Any, ...]] = {}
    for alert in sorted(alerts, key=lambda alert: (alert["unmapped"]["seq"], alert["activity_id"])):
        uid = alert["finding_info"]["uid"]
        incidents[uid] = (alert["activity_id"], alert["count"], alert["start_time"], alert["end_time"])
    return Outcome(
        scored=Counter((partition, event["id"]) for partition, event in values(topics.scored)),
        dead=Counter((dead["partition"], dead["offset"], dead["index"]) for _, dead in values(topics.dead_letters)),
        alerts=Counter(
            (alert["finding_info"]["uid"], alert["unmapped"]["seq"], alert["activity_id"]) for alert in alerts
        ),
        incidents=incidents,
        windows=Counter(json.dumps(window, sort_keys=True) for _, window in values(topics.windows)),
        actions=Counter(f"{action['uid']} {action['time']}" for _, action in values(topics.actions)),
    )


def differences(found: Outcome, wanted: Outcome, events: int) -> list[str]:
    """A line for each way in which a run is not what it should be; none if it is."""
    out = []
    for name in ("scored", "dead", "alerts", "windows", "actions"):
        mine, theirs = getattr(found, name), getattr(wanted, name)
        twice, missing, extra = [k for k, n in mine.items() if n > 1], theirs - mine, mine - theirs
        for what, these in (("twice", twice), ("missing", [*missing]), ("not wanted", [*(extra - Counter(twice))])):
            if these:
                out.append(f"{name}: {len(these)} {what}, such as {str(these[0])[:1000]}")
    total = found.scored.total() + found.dead.total()
    if total != events:
        out.append(f"{events} events in, {total} scored events and dead letters out")
    if found.incidents != wanted.incidents:
        other = [
            (uid, found.incidents.get(uid), wanted.incidents.get(uid))
            for uid in found.incidents.keys() | wanted.incidents.keys()
            if found.incidents.get(uid) != wanted.incidents.get(uid)
        ]
        out.append(f"incidents: {len(other)} differ in their end, such as {other[0]}")
    return out
