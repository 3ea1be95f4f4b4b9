"""What a running flow shows of itself over HTTP: metrics, whether it lives, whether it is ready.

Nothing is counted for it: a scrape reads the counters that the flow keeps anyway.
"""

import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.config import Config, config_hash
from flows.formats.dead_letter import REASONS
from flows.mutes import in_force
from flows.observed import Observed, ObservedUnit, Seen
from flows.readings import ACTIVITIES, Reading, summed
from flows.served_metrics import served
from models.alert import CANARY, HISTORY, MUTE, SHADOW
from models.base import DIMENSIONS, END_OF_TIME, NONE_TIME
from models.rules import severity

_KEPT_BACK: Final = ("exception", "digest", HISTORY, SHADOW, MUTE, CANARY)
_OF_ONE: Final = ("process_start_time_seconds", "process_max_fds")
"""What is no sum: the least of them is shown."""

Rows = Iterable[tuple[tuple[str, ...], float]]


class RunCollector(Collector):
    """The metrics of a run, made when they are asked for. docs/operations.md has what each means."""

    def __init__(self, observed: Seen) -> None:
        self._observed = observed
        config = observed.config
        self._build = (version("lapwing"), platform.python_version(), version("bytewax"), config_hash(config))
        self._severities = {rule.id: severity(rule) for rule in config.detection}

    def describe(self) -> Iterable[Metric]:
        """Nothing is said beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, also those of which nothing is known yet."""
        yield _gauge("build_info", "What runs.", [(self._build, 1)], "version", "python", "bytewax", "config_hash")
        yield _gauge("processes", "Processes whose flow has begun.", [((), self._observed.working())])
        yield _counter("restarts", "Times that all processes began again.", [((), self._observed.restarts)])
        seen = self._observed.reading()
        yield from self._flow(seen)
        yield from self._results(seen)
        yield from self._state(seen)

    def _flow(self, seen: Reading) -> Iterator[Metric]:
        """How far the flow is."""
        counts = summed([seen])
        read = [((), count) for (name, _), count in counts.items() if name == "read_bytes"]
        yield _counter("read_bytes", "Bytes of messages read.", read)
        yield _gauge("newest_event_timestamp_seconds", "The greatest event time read.", _moment(seen.newest))
        watermark = _moment(seen.watermark)
        yield _gauge("watermark_timestamp_seconds", "Event time up to which all is taken as read.", watermark)
        waiting = [(_place(name), count) for name, count in sorted(seen.lag.items())]
        yield _gauge("consumer_lag_messages", "Messages that wait in the topic.", waiting, "topic", "partition")
        turned = [((), time.time() - (time.monotonic() - seen.turned))] if seen.turned else []
        yield _gauge("turn_timestamp_seconds", "When the flow last asked for input.", turned)
        epochs = [] if seen.epochs is None else [((), seen.epochs)]
        yield _counter("durable_epochs", "Epochs that are durable, since the start.", epochs)
        durable = [((), seen.durable)] if seen.durable else []
        yield _gauge("durable_epoch_timestamp_seconds", "When the last epoch was found durable.", durable)

    def _results(self, seen: Reading) -> Iterator[Metric]:
        """What has come out."""
        counts = summed([seen])

        def family(name: str, text: str, known: Iterable[tuple[str, ...]] = ((),), *labels: str) -> Metric:
            found = dict.fromkeys(known, 0) | {at: count for (of, at), count in counts.items() if of == name}
            return _counter(name, text, found.items(), *labels)

        yield family("events", "Events scored.")
        reasons = [(reason,) for reason in (*REASONS, "output_too_large")]
        yield family("dead_letters", "Messages that are no events.", reasons, "reason")
        yield family("late_events", "Events behind their partition's watermark.")
        yield family("windows", "Closed windows kept.")
        told = [(name, kind, at) for name, kind in self._severities.items() for at in ACTIVITIES.values()]
        yield family("alerts", "Alerts told.", told, "detection", "severity", "activity")
        kept_back = [(by,) for by in _KEPT_BACK]
        yield family("kept_back_alerts", "Alerts that went to what is suppressed only.", kept_back, "by")
        silenced = [(one.id,) for one in self._observed.config.exception]
        yield family("suppressed_incidents", "Incidents that an exception kept silent.", silenced, "exception")
        detections = [(name,) for name in self._severities]
        yield family("muted_incidents", "Incidents that somebody had muted.", detections, "detection")
        shadows = [(one.id, severity(one)) for one in self._observed.config.detection if one.mode == "shadow"]
        text = "Incidents of detections in shadow."
        yield family("shadow_incidents", text, shadows, "detection", "severity")
        yield family(
            "score_drifts", "Drifts of the scores' distribution.", [(name,) for name in DIMENSIONS], "dimension"
        )
        moments = [((name,), moment / 1e6) for name, moment in sorted(seen.drifted.items())]
        yield _gauge("score_drift_timestamp_seconds", "Event time of the last drift.", moments, "dimension")
        yield family("delivered_records", "Records handed to Kafka.")
        yield family("delivery_errors", "Records that Kafka did not take.")

    def _state(self, seen: Reading) -> Iterator[Metric]:
        """What is remembered. Nothing before the shards have spoken: their counters go on where the state was."""

        def rows(name: str) -> Rows:
            return [((of,), table.counts[name]) for of, table in seen.tables.items() if name in table.counts]

        yield _gauge("entities", "Entities remembered.", rows("entities"), "dimension")
        yield _gauge("active_entities", "Entities whose windows are held.", rows("active"), "dimension")
        yield _counter("evictions", "Entities forgotten for want of room.", rows("evicted"), "dimension")
        yield _counter("overflows", "Counts lost for want of room.", rows("overflowed"), "dimension")
        yield _counter(
            "overtaken_rows", "Rows behind the stream's watermark, not late.", rows("overtaken"), "dimension"
        )
        yield _counter("refused_windows", "Windows that the guard kept from teaching.", rows("guarded"), "dimension")
        yield _counter("accepted_windows", "Guarded windows that taught after all.", rows("accepted"), "dimension")
        yield _counter("unscored_windows", "Windows closed without a score.", rows("unscored"), "dimension")
        warm = [((of,), table.warm / table.shards) for of, table in seen.tables.items() if table.shards]
        yield _gauge("warm_ratio", "How much of the warm-up is behind, 1 is all.", warm, "dimension")
        memory = [] if seen.memory is None else [((), seen.memory)]
        yield _gauge("state_memory_bytes", "Tables of entities in memory.", memory)
        state = self._observed.state
        stored = [] if state is None else [((), _bytes_below(state))]
        mutes = [] if state is None else [((), len(in_force(state)))]
        yield _gauge("mutes", "Mutes in force.", mutes)
        yield _gauge("state_directory_bytes", "Files of the state directory.", stored)


class ProcessesCollector(Collector):
    """What the system says of processes, as `ProcessCollector` does of one: the sum where there are several."""

    def __init__(self, observed: Seen) -> None:
        self._observed = observed
        self._used = 0.0

    def describe(self) -> Iterable[Metric]:
        """Nothing is said beforehand."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The families of all of them; those that have ended count with the time that they have used."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # asked first: who ends now is left out, not counted twice
        families: dict[str, Metric] = {}
        for number in self._observed.pids():
            for family in ProcessCollector(pid=lambda number=number: number, registry=None).collect():  # type: ignore[misc]
                found = families.setdefault(family.name, family)
                if found is not family:
                    choose = min if family.name in _OF_ONE else sum
                    value = choose((found.samples[0].value, family.samples[0].value))
                    found.samples[0] = found.samples[0]._replace(value=value)
        if cpu := families.get("process_cpu_seconds"):
            used = cpu.samples[0].value + ended.ru_utime + ended.ru_stime
            self._used = max(self._used, used)
            cpu.samples[0] = cpu.samples[0]._replace(value=self._used)
        return families.values()


@contextmanager
def observing(config: Config, say: Callable[[str], None]) -> Iterator[Observed | ObservedUnit]:
    """A run that can be seen at the configured address, if there is one, for as long as this lasts.

    Raises
    ------
    LapwingError
        The address cannot be had.
    """
    observed = ObservedUnit(config) if config.run.processes > 1 else Observed(config)
    collectors = (ProcessesCollector(observed), RunCollector(observed))
    with served(
        config.metrics.listen, collectors, say, ailing=observed.ailing, waiting=observed.waiting, well=observed.well
    ):
        yield observed


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
