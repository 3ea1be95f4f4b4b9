"""A broker with a topic of events, runs of the flow over it, and how long what is sent takes to be seen."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaError, TopicPartition

from benchmarks.lasting import resident, resident_peak
from benchmarks.typed_decode import AuditEvent
from flows.formats.simulated import simulate
from flows.kafka_block import Topics
from models.simulation.attacks.plan import WELL_FORMED
from tests.command import LAPWING
from tests.kafka.cluster import Broker
from tests.kafka.outcome import make_topics, topics_of
from tests.kafka.records import Record, ends, produce

PARTITIONS = 4
LATENESS_PANE_EPOCHS_S = 5 + 5 + 3
_VICTIM = re.compile(rb"victim-\d+")
_READY_S, _SETTLE_S = 120.0, 20.0


@dataclass(slots=True, frozen=True)
class Run:
    """One run over all events of a topic."""

    seconds: float
    cpu_seconds: float


class Bench:
    """A broker with one topic of events, and runs over it."""

    def __init__(self, kafka: Broker, folder: Path, say: Callable[[str], None]) -> None:
        self.kafka, self.folder, self.say = kafka, folder, say
        self.runs = 0

    def fill(self, name: str, events: int, seed: int) -> Topics:
        """Topics, with simulated events in the first of them."""
        topics = topics_of(name)
        make_topics(self.kafka, topics, PARTITIONS)
        for chunk in simulate(events, seed, hours=max(events / 1e6, 0.05), attacks=WELL_FORMED):
            lines = chunk.lines.splitlines()
            produce(
                self.kafka.client(),
                topics.events,
                (Record(line, partition=k % PARTITIONS) for k, line in enumerate(lines)),
            )
        return topics

    def decode(self, topic: str) -> Run:
        """Only consume and decode into typed structs, in a process of its own."""
        code = "import sys; from benchmarks.kafka_runs import decode_topic; decode_topic(*sys.argv[1:])"
        return _measured([sys.executable, "-c", code, self.kafka.bootstrap, topic])

    def flow(self, events: Topics, processes: int = 1, **keys: str) -> Run:
        """The flow to topics of its own, to where the topic ends; `keys` are further ones under `[kafka]`."""
        self.runs += 1
        topics = topics_of(f"run{self.runs}", events.events)
        make_topics(self.kafka, topics, PARTITIONS)
        state = self.folder / f"state{self.runs}"
        words = [LAPWING, *self.words(topics, state, **keys), "--start", "earliest", "--until", "end"]
        words += ["--json", "--quiet"]
        run = _measured(words + (["--processes", str(processes)] if processes > 1 else []))
        shutil.rmtree(state)
        return run

    def words(self, topics: Topics, state: Path, **keys: str) -> list[str]:
        """The command's words, with a configuration of its own."""
        config = self.folder / f"{topics.scored}.toml"
        names = [f'{key} = "{value}"' for key, value in msgspec.structs.asdict(topics).items()]
        block = {"bootstrap": self.kafka.bootstrap, "application": topics.scored} | keys
        lines = [f'{key} = "{value}"' for key, value in block.items()]
        # Every attack is told by itself, not in the digest of an hour with too many.
        told = ["[output]", "max_incidents_per_hour = 100_000"]
        config.write_text("\n".join([*told, "[kafka]", *lines, "[kafka.topics]", *names, ""]))
        return ["detect", "--config", str(config), "--input", "kafka", "--output", "kafka", "--state", str(state)]

    @contextmanager
    def live(self, topics: Topics, state: Path, **keys: str) -> "Iterator[subprocess.Popen[bytes]]":
        """The flow, running from now on."""
        words = [LAPWING, *self.words(topics, state, **keys), "--start", "latest", "--quiet"]
        process = subprocess.Popen(words)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()

    def latency(self, phases: str, **keys: str) -> dict[str, Any]:
        """Seconds from sending to a `read_committed` reader, of events by second of sending, and of alerts."""
        topics = topics_of(f"live{time.time_ns()}")
        make_topics(self.kafka, topics, PARTITIONS)
        with self.live(topics, self.folder / topics.scored, **keys) as flow:
            readers = [_reader(self.kafka, topic) for topic in (topics.scored, topics.alerts)]
            self._wait_until_ready(topics, readers[0], flow)
            self.say(f"sending {phases} (events a second : seconds)")
            command = [sys.executable, "-m", "benchmarks.kafka_traffic", self.kafka.bootstrap, topics.events, phases]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as traffic:
                seen, alerts, last = _watch(flow, traffic, *readers)
                assert traffic.stdout is not None
                sent = json.load(traffic.stdout)
        # Time stands still when nothing is sent any more: what crossed in the last seconds waits for the next event.
        until = sent["ends"][-1] - LATENESS_PANE_EPOCHS_S
        crossed = {name.encode(): moment for name, moment in sent["crossed"].items() if moment <= until}
        delays = [alerts[name] - moment for name, moment in crossed.items() if name in alerts]
        return {
            "phases": phases, "events": sent["events"], "read": int(seen[:, 2].sum()), "attacks": len(crossed),
            "alerts": len(delays), "alert_s": spread(delays), "ends": sent["ends"], "by_second": seen, "last": last,
        }  # fmt: skip

    def _wait_until_ready(self, topics: Topics, scored: Consumer, flow: "subprocess.Popen[bytes]") -> None:
        """Send single events until one comes out."""
        give_up = time.monotonic() + _READY_S
        while time.monotonic() < give_up and flow.poll() is None:
            line = b'{"time":%d,"user":"probe"}' % (time.time_ns() // 1000)
            produce(self.kafka.client(), topics.events, [Record(line, partition=at) for at in range(PARTITIONS)])
            message = scored.poll(1.0)
            if message is not None and message.error() is None:
                time.sleep(2)
                while scored.consume(1000, 0.5):
                    pass
                return
        raise SystemExit("the flow did not begin")

    def flood(self, seconds: int) -> tuple[str, dict[str, float]]:
        """What the flow holds of memory while messages come faster than it takes them: a line, and figures."""
        topics = topics_of(f"flood{time.time_ns()}")
        make_topics(self.kafka, topics, PARTITIONS)
        with self.live(topics, self.folder / topics.scored) as flow:
            self._wait_until_ready(topics, _reader(self.kafka, topics.scored), flow)
            before = resident(flow.pid)
            command = [sys.executable, "-m", "benchmarks.kafka_traffic", self.kafka.bootstrap, topics.events]
            with subprocess.Popen([*command, f"10000000:{seconds}"], stdout=subprocess.PIPE) as traffic:
                while traffic.poll() is None and flow.poll() is None:
                    time.sleep(0.2)
                assert traffic.stdout is not None
                sent = json.load(traffic.stdout)["events"]
            done = sum(high for _, high in ends(self.kafka.client(), topics.scored).values())
            peak = resident_peak(flow.pid)
        said = (
            f"{sent:,} events in {seconds} s at full speed, {sent - done:,} of them still waiting at the end: "
            f"memory {before:,.0f} MiB before, {peak:,.0f} MiB at most"
        )
        return said, {"kafka_flood.before_mib": before, "kafka_flood.peak_mib": peak}

    def restart(self, entities: int) -> float:
        """Seconds from the command to the first scored event, with a state of so many entities."""
        topics = topics_of(f"restart{entities}")
        make_topics(self.kafka, topics, PARTITIONS)
        each, moment = entities // 2, time.time_ns() // 1000 - 600_000_000
        line = b'{"time":%d,"user":"user-%d","ip":"10.%d.%d.%d"}'
        records = (
            Record(
                line % (moment + k * 600_000_000 // each, k, k >> 16, k >> 8 & 255, k & 255), partition=k % PARTITIONS
            )
            for k in range(each)
        )
        produce(self.kafka.client(), topics.events, records)
        state = self.folder / "restart"
        words = [LAPWING, *self.words(topics, state), "--quiet"]
        subprocess.run([*words, "--start", "earliest", "--until", "end"], check=True)
        reader = _reader(self.kafka, topics.scored)
        for at in range(PARTITIONS):
            produce(
                self.kafka.client(), topics.events, [Record(line % (moment + 600_000_000, at, 0, 0, at), partition=at)]
            )
        began = time.monotonic()
        with subprocess.Popen(words) as process:
            while process.poll() is None:
                message = reader.poll(0.05)
                if message is not None and message.error() is None:
                    break
            seconds = time.monotonic() - began
            process.terminate()
        reader.close()
        return seconds


def decode_topic(bootstrap: str, topic: str) -> None:
    """Consume a topic to its end and decode each value; prints the seconds as JSON."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "decode", "enable.partition.eof": True,
        "enable.auto.commit": False, "enable.auto.offset.store": False, "isolation.level": "read_committed",
    })  # fmt: skip
    decoder = msgspec.json.Decoder(AuditEvent)
    began = time.perf_counter()
    consumer.assign([TopicPartition(topic, at, 0) for at in range(PARTITIONS)])
    ended = 0
    while ended < PARTITIONS:
        values = []
        for message in consumer.consume(4096, 0.1):
            error = message.error()
            if error is None:
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
        events = [decoder.decode(value) for value in values]
        del events
    print(json.dumps({"seconds": time.perf_counter() - began}))
    consumer.close()


def _measured(words: list[str]) -> Run:
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(words, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
        out.seek(0)
        return Run(json.load(out)["seconds"], usage.ru_utime + usage.ru_stime)


def _reader(kafka: Broker, topic: str) -> Consumer:
    consumer = Consumer(kafka.client(**{
        "group.id": "bench", "isolation.level": "read_committed", "enable.auto.commit": False,
        "fetch.wait.max.ms": 20,
    }))  # fmt: skip
    places = [TopicPartition(topic, at) for at in range(PARTITIONS)]
    ends = [consumer.get_watermark_offsets(place, timeout=30)[1] for place in places]
    consumer.assign([TopicPartition(topic, at, end) for at, end in enumerate(ends)])
    return consumer


def _watch(
    flow: "subprocess.Popen[bytes]", traffic: "subprocess.Popen[bytes]", scored: Consumer, alerts: Consumer
) -> tuple[Any, dict[bytes, float], float]:
    """Delays of events (second of sending, delay, how many), when each attacked account's alert came, and the end."""
    rows: list[Any] = []
    told: dict[bytes, float] = {}
    last = time.time()
    while flow.poll() is None and (traffic.poll() is None or time.time() - last < _SETTLE_S):
        batch = [message.timestamp()[1] for message in scored.consume(5000, 0.05) if message.error() is None]
        now = time.time()
        if batch:
            last = now
            sent = np.array(batch) / 1e3
            rows.append(np.stack([np.floor(sent), now - sent, np.ones(len(sent))], axis=1))
        for message in alerts.consume(100, 0.0):
            value = message.value() or b""
            if message.error() is None and (found := _VICTIM.search(value)) and b'"activity_id":1,' in value:
                told.setdefault(found[0], now)
    scored.close()
    alerts.close()
    return np.concatenate(rows), told, last


def spread(seconds: Any) -> dict[str, float]:
    """The median and the 99th percentile; nan of nothing."""
    if not len(seconds):
        return {"p50": float("nan"), "p99": float("nan")}
    return {"p50": float(np.quantile(seconds, 0.5)), "p99": float(np.quantile(seconds, 0.99))}
