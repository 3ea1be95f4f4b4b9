"""What a scored event's record keeps of its source's: key, headers, timestamp, partition."""

import json
from pathlib import Path
from typing import Any

from tests.kafka.records import Found, Record, produce, read
from tests.kafka_runs import Site

MOMENT = 1_795_410_000_123
HEADERS = (
    ("trace", b"\x00\xff"),
    ("trace", b"again"),
    ("trace", None),
    ("", b"no name"),
    ("grüße", "übrigens".encode()),
    ("empty", b""),
)


def event(name: str, **members: Any) -> bytes:
    return json.dumps({"id": name, "time": MOMENT - 1000, "user": "u1", "outcome": "success", **members}).encode()


def carried(found: Found) -> tuple[Any, ...]:
    return found.key, found.headers, found.timestamp


def test_key_headers_timestamp_and_partition_are_the_source_records_own(kafka: Any, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 3)
    records = [
        Record(event("several"), b"key", HEADERS, MOMENT, 2),
        Record(event("bare"), None, (), MOMENT + 1, 2),
        Record(event("odd key"), b"\x00\xff\n", (), MOMENT + 2, 0),
        Record(event("empty key"), b"", (("only", None),), MOMENT + 3, 0),
        Record(b"no event", b"dead", HEADERS, MOMENT + 4, 1),
        *(Record(event(f"more-{k}"), b"%d" % k, (), MOMENT + 10 + k, k % 3) for k in range(300)),
    ]
    site.produce(records)
    site.run()
    events, scored = site.read("events"), site.read("scored")
    alive = [found for found in events if found.key != b"dead"]
    assert [(found.partition, *carried(found)) for found in scored] == [(f.partition, *carried(f)) for f in alive]
    assert [json.loads(found.value)["id"] for found in scored] == [json.loads(found.value)["id"] for found in alive]

    (dead,) = site.read("dead_letters")
    assert (dead.key, dead.timestamp, dead.headers) == (b"dead", MOMENT + 4, (("content-type", b"application/json"),))


def test_with_other_numbers_of_partitions_the_key_decides(kafka: Any, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2, counts={"scored": 5})
    keys = [b"k%d" % k for k in range(60)]
    site.produce(Record(event(f"e{k}"), key, (), MOMENT + k, k % 2) for k, key in enumerate(keys))
    site.run()
    probe = kafka.topic("probe", 5)
    produce(kafka.client(partitioner="murmur2_random"), probe, [Record(b"", key) for key in keys])
    expected = {found.key: found.partition for found in read(kafka.client(), probe)}
    assert {found.key: found.partition for found in site.read("scored")} == expected
    assert len(set(expected.values())) == 5


def test_alerts_say_what_they_are_in_headers(kafka: Any, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    failed = [
        Record(event(f"f{k}", time=MOMENT + 1000 * k, action="login", outcome="failure", ip="203.0.113.9"),
               None, (), MOMENT + 1000 * k + 1, 0)
        for k in range(60)
    ]  # fmt: skip
    site.produce(failed)
    site.run(close=True)
    alerts = site.read("alerts")
    assert alerts
    for found in alerts:
        alert, headers = json.loads(found.value), dict(found.headers)
        uid = alert["finding_info"]["uid"].encode()
        assert found.key == headers["lapwing-uid"] == uid
        assert headers["lapwing-tenant"] == b"default"
        assert headers["lapwing-severity"] == alert["severity"].lower().encode()
        assert headers["content-type"] == b"application/json"
        assert headers["ocsf"] == b"1.8.0/2004"
        assert found.timestamp == alert["time"]
    latest = {found.key: found.value for found in site.read("latest")}
    assert latest == {found.key: found.value for found in alerts}
    for found in site.read("windows"):
        row = json.loads(found.value)
        assert found.key == "|".join((row["tenant"], row["dimension"], row["entity"])).encode()
        assert found.timestamp == row["end"] // 1000
    for found in site.read("actions"):
        assert found.key == json.loads(found.value)["uid"].encode()
