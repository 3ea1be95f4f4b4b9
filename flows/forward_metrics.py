"""What `lapwing forward` shows of itself over HTTP: each destination's counts, and whether it is being served."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.connectors.forward_progress import ForwardProgress
from flows.served_metrics import served

_COUNTERS: Final = {
    "read": "Records read.",
    "filtered": "Records that the filters kept back.",
    "sent": "Records that the destination has taken.",
    "sent_bytes": "Bytes of records in batches that were taken.",
    "batches": "Batches that were taken, or what of them was.",
    "refused": "Records refused for good, which are dead letters.",
    "retries": "Attempts that failed and were repeated.",
}


_UNREADY: Final = "no destination has begun"


class ForwardSeen:
    """The destinations of a run, once it has begun: what is read by whoever asks."""

    def __init__(self) -> None:
        self.destinations: Sequence[ForwardProgress] = ()

    def show(self, seen: Sequence[ForwardProgress]) -> None:
        """Take what the run says of itself."""
        self.destinations = seen


class ForwardCollector(Collector):
    """The metrics of a run, made when they are asked for. docs/forwarding.md has what each means."""

    def __init__(self, seen: ForwardSeen) -> None:
        self._seen = seen

    def describe(self) -> Iterable[Metric]:
        """Nothing is said beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, a sample for each destination."""
        every = self._seen.destinations
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"lapwing_forward_{name}", text, labels=["destination"])
            for one in every:
                counter.add_metric([one.id], getattr(one, name))
            yield counter
        for name, text, value in (
            ("behind", "Records of topics, or bytes of files, that are not delivered.", lambda one: one.behind),
            ("failing", "1 while the last attempt has failed.", lambda one: int(bool(one.failing))),
            ("last_sent_timestamp_seconds", "When the destination last took something.", lambda one: one.last_sent),
        ):
            gauge = GaugeMetricFamily(f"lapwing_forward_{name}", text, labels=["destination"])
            for one in every:
                if (found := value(one)) >= 0:
                    gauge.add_metric([one.id], found)
            yield gauge


@contextmanager
def observing(listen: str, seen: ForwardSeen, say: Callable[[str], None]) -> Iterator[None]:
    """Serve the metrics at an address, if there is one, for as long as this lasts.

    A destination that is away makes the process neither ill nor unready: it is the metrics that tell of it.

    Raises
    ------
    LapwingError
        The address cannot be had.
    """
    collectors = (ProcessCollector(registry=None), ForwardCollector(seen))
    with served(listen, collectors, say, waiting=lambda: "" if seen.destinations else _UNREADY):
        yield
