"""Topics into the trail: committed records only, each once, over runs that are ended and begun again."""

import threading
from pathlib import Path
from typing import Any

from flows.archive import run
from flows.trail.reader import Trail
from tests.flow_under_test import config_file, stream
from tests.kafka_runs import Site, records_of
from tests.trails import opened, whole

RECORDS = records_of(stream(1, minutes=12))


def archive(site: Site, folder: Path, raw: bool = False) -> Any:
    """What the topics have now."""
    config = site.loaded(until="end")
    return run(config, "kafka", str(folder / "trail"), folder / "keys", threading.Event(), raw=raw, compact=False)


def test_topics_of_results_are_kept_once_and_as_they_are(kafka: Any, tmp_path: Path) -> None:
    shape = config_file(tmp_path).read_text()
    site = Site(kafka, tmp_path / "site", 5, 2, config=f"[input]\nbatch_rows = 100\n{shape}")
    half = len(RECORDS) // 2
    kept, told = 0, 0
    for some in (RECORDS[:half], RECORDS[half:], []):
        site.produce(some)
        if some:
            site.run()
        done = archive(site, tmp_path)
        kept, told = kept + done.events, told + done.records.get("alerts", 0)
    scored, alerts = site.read("scored"), site.read("alerts") + site.read("suppressed")
    assert (kept, told, done.events) == (len(scored), len(alerts), 0)
    trail: Trail = opened(tmp_path)
    expected = {(found.partition, found.offset): found.value for found in scored}
    for event in trail.events(raw=True):
        line = expected.pop((int(event.log.rpartition("/")[2]), event.offset))
        assert event.raw == line[: line.rfind(b',"lapwing":{')] + b"}"
        assert event.received is not None
    assert not expected
    assert whole(tmp_path)
    other = tmp_path / "raw"
    done = archive(site, other, raw=True)
    assert done.events + done.dead_letters == len(RECORDS)
    assert archive(site, other, raw=True).events == 0
    assert whole(other)
