"""What a running flow shows of itself over HTTP: metrics, whether it lives, whether it is ready.

Nothing is counted for it: a scrape reads the counters that the flow keeps anyway.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from flows.config import Config, config_hash
from flows.connectors.http_server import HttpServer, Page
from flows.connectors.kafka import KafkaSource
from flows.formats.dead_letter import REASONS
from flows.metrics_block import address
from flows.parts import Source
from flows.totals import Totals
from models.alert import CLOSE, CREATE, UPDATE
from models.base import END_OF_TIME, NONE_TIME, SEVERITIES, WATCHED
from models.detectors.ewma import EwmaParams
from models.kernels.layout import COUNTERS
from models.rules import severity

_ACTIVITIES: Final = {CREATE: "create", UPDATE: "update", CLOSE: "close"}
_KEPT_BACK: Final = ("exception", "digest", "history")
_ANSWERED_S: Final = 15.0
"""Brokers that have been silent for so long are not reachable: while all is well they answer twice a second."""

Rows = Iterable[tuple[tuple[str, ...], float]]


class Observed:
    """A run as it is seen from outside. `begin` says what it consists of; before, it is on its way."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.totals = Totals()
        self.source: Source | None = None
        self.state: Path | None = None
        self._began = 0.0
        self._compiled = False

    def compiled(self) -> None:
        """All kernels are."""
        self._compiled = True

    def begin(self, source: Source, totals: Totals, state: Path | None) -> None:
        """The flow is about to run."""
        self.totals, self.state, self._began = totals, state, time.monotonic()
        self.source = source

    def ailing(self) -> str:
        """Why the process should be replaced; empty while it is well, also before the flow has begun."""
        source = self.source
        if source is None:
            return ""
        still = time.monotonic() - max(source.pulse.turned, self._began)
        if still <= self.config.metrics.stalled_after_s:
            return ""
        return f"the flow has not turned for {still:.0f} s (stalled_after is {self.config.metrics.stalled_after})"

    def waiting(self) -> str:
        """What is still to come before the flow does its work; empty when it is at it."""
        source = self.source
        if not self._compiled:
            return "compiled code is being loaded, or compiled"
        if source is None:
            return "the input is being opened"
        if not self.totals.heads:
            return "the first heartbeat is under way"
        if isinstance(source, KafkaSource) and (silent := time.monotonic() - source.answered) > _ANSWERED_S:
            seconds = "yet" if silent == float("inf") else f"for {silent:.0f} s"
            return f"no broker at {self.config.kafka.bootstrap} has answered {seconds}"
        return self.ailing()


class RunCollector(Collector):
    """The metrics of a run, made when they are asked for. docs/operations.md has what each means."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        config = observed.config
        self._build = (version("lapwing"), platform.python_version(), version("bytewax"), config_hash(config))
        self._warm_up = next(row.warm_up for row in config.detector if isinstance(row, EwmaParams))
        self._severities = {rule.id: severity(rule) for rule in config.detection}

    def describe(self) -> Iterable[Metric]:
        """Nothing is said beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, also those of which nothing is known yet."""
        yield _gauge("build_info", "What runs.", [(self._build, 1)], "version", "python", "bytewax", "config_hash")
        yield from self._flow()
        yield from self._results()
        yield from self._state()

    def _flow(self) -> Iterator[Metric]:
        """How far the flow is."""
        source, totals = self._observed.source, self._observed.totals
        read = [] if source is None else [((), source.bytes_read)]
        yield _counter("read_bytes", "Bytes of messages read.", read)
        newest = NONE_TIME if source is None else source.event_time
        yield _gauge("newest_event_timestamp_seconds", "The greatest event time read.", _moment(newest))
        watermark = _moment(totals.watermark)
        yield _gauge("watermark_timestamp_seconds", "Event time up to which all is taken as read.", watermark)
        lag = source.lag if isinstance(source, KafkaSource) else {}
        waiting = [(_place(name), count) for name, count in sorted(lag.items()) if count >= 0]
        yield _gauge("consumer_lag_messages", "Messages that wait in the topic.", waiting, "topic", "partition")
        pulse = None if source is None else source.pulse
        turned = [((), time.time() - (time.monotonic() - pulse.turned))] if pulse is not None and pulse.turned else []
        yield _gauge("turn_timestamp_seconds", "When the flow last asked for input.", turned)
        kept = pulse if self._observed.state is not None else None
        epochs = [] if kept is None else [((), kept.epochs)]
        yield _counter("durable_epochs", "Epochs that are durable, since the start.", epochs)
        durable = [((), kept.durable)] if kept is not None and kept.durable else []
        yield _gauge("durable_epoch_timestamp_seconds", "When the last epoch was found durable.", durable)

    def _results(self) -> Iterator[Metric]:
        """What has come out."""
        totals, config = self._observed.totals, self._observed.config
        yield _counter("events", "Events scored.", [((), totals.scored)])
        reasons = dict.fromkeys(REASONS, 0) | dict(totals.reasons) | {"output_too_large": totals.sent.too_large}
        dead = [((reason,), count) for reason, count in reasons.items()]
        yield _counter("dead_letters", "Messages that are no events.", dead, "reason")
        yield _counter("late_events", "Events behind their partition's watermark.", [((), totals.late)])
        yield _counter("windows", "Closed windows kept.", [((), totals.windows)])
        told = {(name, SEVERITIES.index(kind), at): 0 for name, kind in self._severities.items() for at in _ACTIVITIES}
        told |= dict(totals.told)
        alerts = [((name, SEVERITIES[grade], _ACTIVITIES[at]), count) for (name, grade, at), count in told.items()]
        yield _counter("alerts", "Alerts told.", alerts, "detection", "severity", "activity")
        kept = dict.fromkeys(_KEPT_BACK, 0) | dict(totals.kept_back)
        kept_back = [((by,), count) for by, count in kept.items()]
        yield _counter("kept_back_alerts", "Alerts that went to what is suppressed only.", kept_back, "by")
        silenced = [((one.id,), totals.suppressed.get(one.id, 0)) for one in config.exception]
        yield _counter("suppressed_incidents", "Incidents that an exception kept silent.", silenced, "exception")
        yield _counter("delivered_records", "Records handed to Kafka.", [((), totals.sent.records)])
        errors = [((), totals.sent.delivery_errors)]
        yield _counter("delivery_errors", "Records that Kafka did not take.", errors)

    def _state(self) -> Iterator[Metric]:
        """What is remembered. Nothing before the shards have spoken: their counters go on where the state was."""
        totals, heads = self._observed.totals, dict(self._observed.totals.heads)
        shards: dict[str, int] = {}
        sums: dict[str, dict[str, float]] = {name: {} for name in (*COUNTERS, "warm")}
        for (at, _), head in sorted(heads.items()):
            dimension = WATCHED[at]
            shards[dimension] = shards.get(dimension, 0) + 1
            found = {name: float(sum(int(head[place]) for place in places)) for name, places in COUNTERS.items()}
            found["warm"] = min(1.0, found["seen"] / self._warm_up)
            for name, value in found.items():
                sums[name][dimension] = sums[name].get(dimension, 0) + value

        def rows(name: str) -> Rows:
            return [((dimension,), value) for dimension, value in sums[name].items()]

        yield _gauge("entities", "Entities remembered.", rows("entities"), "dimension")
        yield _gauge("active_entities", "Entities whose windows are held.", rows("active"), "dimension")
        yield _counter("evictions", "Entities forgotten for want of room.", rows("evicted"), "dimension")
        yield _counter("overflows", "Counts lost for want of room.", rows("overflowed"), "dimension")
        yield _counter(
            "overtaken_rows", "Rows behind the stream's watermark, not late.", rows("overtaken"), "dimension"
        )
        warm = [((dimension,), value / shards[dimension]) for dimension, value in sums["warm"].items()]
        yield _gauge("warm_ratio", "How much of the warm-up is behind, 1 is all.", warm, "dimension")
        memory = sum(array.nbytes for shard in list(totals.shards) for array in shard.s)
        yield _gauge("state_memory_bytes", "Tables of entities in memory.", [((), memory)])
        state = self._observed.state
        stored = [] if state is None else [((), _bytes_below(state))]
        yield _gauge("state_directory_bytes", "Files of the state directory.", stored)


@contextmanager
def observing(config: Config, say: Callable[[str], None]) -> Iterator[Observed]:
    """A run that can be seen at the configured address, if there is one, for as long as this lasts.

    Raises
    ------
    LapwingError
        The address cannot be had.
    """
    observed = Observed(config)
    if not config.metrics.listen:
        yield observed
        return
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(RunCollector(observed))
    pages: dict[str, Callable[[], Page]] = {
        "/metrics": lambda: Page(generate_latest(registry), kind=CONTENT_TYPE_PLAIN_0_0_4),
        "/healthz": partial(_verdict, observed.ailing),
        "/readyz": partial(_verdict, observed.waiting),
    }
    server = HttpServer(*address(config.metrics.listen), pages)
    try:
        say(f"metrics at http://{server.address}/metrics, also /healthz and /readyz")
        yield observed
    finally:
        server.close()


def _verdict(ask: Callable[[], str]) -> Page:
    why = ask()
    return Page(f"{why or 'ok'}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK)


def _gauge(name: str, text: str, rows: Rows, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"lapwing_{name}", text, labels=labels), rows)


def _counter(name: str, text: str, rows: Rows, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"lapwing_{name}", text, labels=labels), rows)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Rows) -> Metric:
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _moment(microseconds: int) -> Rows:
    return [((), microseconds / 1e6)] if NONE_TIME < microseconds < END_OF_TIME else []


def _place(name: str) -> tuple[str, str]:
    topic, _, partition = name.rpartition("/")
    return topic, partition


def _bytes_below(folder: Path) -> int:
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):  # stores come and go while the flow runs
                total += os.stat(os.path.join(path, name)).st_size
    return total
