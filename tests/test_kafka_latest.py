"""`audit.alerts.latest`: after compaction it holds the incidents that are open, and no others."""

import json
import time
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.kafka.records import Record, produce
from tests.kafka_runs import Site, eventually

MOMENT = 1_795_410_000_000
COMPACTED = {"cleanup.policy": "compact"}
AT_ONCE = {"min.cleanable.dirty.ratio": "0.01", "segment.ms": "1000", "delete.retention.ms": "0"}
"""With these the broker compacts what is there, when a next record has come. Before, it has to keep all of it."""


def failed(user: str, minute: float, count: int = 15) -> list[Record]:
    """Failed logins of a user within seconds: an incident."""
    return [
        Record(
            json.dumps(
                {
                    "time": MOMENT + int(minute * 60_000) + 100 * k,
                    "action": "login",
                    "outcome": "failure",
                    "username": user,
                    "ip": f"198.51.100.{k}",
                }
            ).encode(),
            partition=0,
        )
        for k in range(count)
    ]


def quiet(minute: float) -> list[Record]:
    """An event that only shows the time."""
    line = json.dumps({"time": MOMENT + int(minute * 60_000), "user": "u", "outcome": "success"})
    return [Record(line.encode(), partition=0)]


def compact_at_once(kafka: Any, topic: str) -> None:
    """Set what a topic has to be compacted by."""
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in AT_ONCE.items()]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient(kafka.client())
    admin.incremental_alter_configs([resource])[resource].result(60)


def incidents(site: Site) -> dict[str, int]:
    """The last activity of each incident on the alert topic, by uid."""
    alerts = sorted(site.values("alerts"), key=lambda alert: alert["metadata"]["sequence"])
    return {alert["finding_info"]["uid"]: alert["activity_id"] for alert in alerts}


def test_compaction_leaves_open_incidents_only(kafka: Any, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, settings={"latest": COMPACTED}, keys={"closed_retention": "1h"})
    # The first is closed for more than an hour when the last begin.
    for records in (failed("first", 0), quiet(60), quiet(140), failed("third", 141) + failed("fourth", 141.1)):
        site.produce(records)
        site.run()
    site.produce(quiet(141.5))
    site.run()
    lives = incidents(site)
    still_open = {uid for uid, activity in lives.items() if activity != 3}
    assert 0 < len(still_open) < len(lives), "some are open and some are not"
    everything = site.read("latest")
    assert {(found.key or b"").decode() for found in everything} == lives.keys()

    compact_at_once(kafka, site.topics["latest"])
    time.sleep(1.1)  # the next record begins a segment, and the one before can be compacted
    produce(kafka.client(), site.topics["latest"], [Record(b"{}", b"roll", partition=0)])

    def compacted() -> list[tuple[str, int]] | None:
        found = [each for each in site.read("latest") if each.value is not None and each.key != b"roll"]
        rows = [((each.key or b"").decode(), json.loads(each.value or b"")["activity_id"]) for each in found]
        return rows if sorted(uid for uid, _ in rows) == sorted(still_open) else None

    rows = eventually(compacted, "only open incidents are left, each once")
    assert dict(rows) == {uid: lives[uid] for uid in still_open}
