"""What a run over topics shows of itself, also when the broker is gone."""

from pathlib import Path

from tests.kafka.endpoint import Endpoint
from tests.kafka.fixture import own_broker
from tests.kafka.records import Record
from tests.kafka_runs import Site, eventually
from tests.scrape import Scraper
from tests.test_kafka_start import MOMENT_MS, event, events


def test_lag_records_and_what_was_too_large_are_counted(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2, settings={"scored": {"max.message.bytes": "70000"}})
    giant = Record(event(40, user="u1", note="x" * 70_000), b"40", (), MOMENT_MS + 40_000, 1)
    site.produce([*events(range(30), 0), *events(range(30, 40), 1), giant])
    log = tmp_path / "stderr"
    with log.open("wb") as stderr, site.running("--start", "earliest", "--metrics", "0", stderr=stderr) as process:
        seen = Scraper(log, process)
        seen.ready()
        nothing = {(str(partition), site.events): 0.0 for partition in (0, 1)}
        seen.until(lambda s: s.value("events_total") == 41 and s.values("consumer_lag_messages") == nothing, "no lag")
        seen.until(lambda s: s.values("dead_letters_total")["output_too_large",] == 1, "it became a dead letter")
        assert sum(seen.values("dead_letters_total").values()) == 1
        seen.until(lambda s: (s.value("delivered_records_total") or 0) >= 41 + 1, "records have left")
        assert seen.value("delivery_errors_total") == 0
        seen.until(lambda s: (s.value("durable_epochs_total") or 0) > 2, "epochs are durable")
        process.terminate()
        assert process.wait(60) == 0
    assert len(site.read("scored")) == 40


def test_without_its_broker_a_run_is_not_ready_and_well_all_the_same(tmp_path: Path) -> None:
    with own_broker() as broker:
        site = Site(broker, tmp_path, 1)
        log = tmp_path / "stderr"
        with log.open("wb") as stderr, site.running("--start", "earliest", "--metrics", "0", stderr=stderr) as process:
            seen = Scraper(log, process)
            seen.ready()
            broker.kill()
            eventually(lambda: seen.get("/readyz").status == 503, "it is not ready")
            assert seen.get("/readyz").text.startswith(f"no broker at {broker.bootstrap} has answered for ")
            assert seen.get("/healthz") == (200, "ok\n")
            assert process.poll() is None
            broker.start()
            seen.ready()
            process.terminate()
            assert process.wait(60) == 0
