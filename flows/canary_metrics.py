"""What `lapwing canary run` shows of itself over HTTP."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.canary import Seen
from flows.served_metrics import served

_UNREADY: Final = "the brokers have not answered yet"


class CanaryCollector(Collector):
    """The metrics of a watch, made when they are asked for. docs/deployment.md has what each means."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def describe(self) -> Iterable[Metric]:
        """Nothing is said beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families; what is not known yet has no sample."""
        seen = self._seen
        for name, text, count in (
            ("sent", "Attacks of our own that were sent.", seen.sent),
            ("found", "Attacks of our own whose incident came in time.", seen.found),
            ("missed", "Attacks of our own whose incident stayed away.", seen.missed),
        ):
            counter = CounterMetricFamily(f"lapwing_canary_{name}", text)
            counter.add_metric([], count)
            yield counter
        for name, text, value in (
            ("every_seconds", "How long from one attack to the next.", seen.every_s),
            ("seen_timestamp_seconds", "When an incident of an attack of our own was last found.", seen.last_found),
            ("delay_seconds", "From the last found attack to its incident.", seen.delay_s),
        ):
            gauge = GaugeMetricFamily(f"lapwing_canary_{name}", text)
            if value is not None:
                gauge.add_metric([], value)
            yield gauge


@contextmanager
def observing(listen: str, seen: Seen, say: Callable[[str], None]) -> Iterator[None]:
    """Serve the metrics at an address, if there is one, for as long as this lasts.

    Raises
    ------
    LapwingError
        The address cannot be had.
    """
    collectors = (ProcessCollector(registry=None), CanaryCollector(seen))
    with served(listen, collectors, say, waiting=lambda: "" if seen.ready else _UNREADY):
        yield
