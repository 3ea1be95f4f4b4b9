"""A running command's metrics and health, asked for over HTTP as a scraper does."""

import http.client
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.kafka_runs import eventually

DOCS = Path(__file__).parent.parent / "docs" / "operations.md"
_SAID = re.compile(rb"metrics at http://([^/\s]+)/metrics")


class Answer(NamedTuple):
    status: int
    text: str


class Scraper:
    """Of the address that a command says on its stderr, which goes to `log`."""

    def __init__(self, log: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        def said() -> str:
            assert process is None or process.poll() is None, log.read_text()
            found = _SAID.search(log.read_bytes()) if log.exists() else None
            return found[1].decode() if found else ""

        self.address = eventually(said, "it says where its metrics are")

    def get(self, path: str, method: str = "GET") -> Answer:
        """One request."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode())
        finally:
            connection.close()

    def families(self) -> dict[str, Metric]:
        """All families by name, as Prometheus' own parser reads them."""
        answer = self.get("/metrics")
        assert answer.status == 200
        return {family.name: family for family in text_string_to_metric_families(answer.text)}

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a metric, by the values of its labels in the order of the labels' names."""
        family = self.families()[f"lapwing_{name}".removesuffix("_total")]
        return {tuple(value for _, value in sorted(one.labels.items())): one.value for one in family.samples}

    def value(self, name: str) -> float | None:
        """The one sample of a metric without labels; None while there is none."""
        return self.values(name).get(())

    def ready(self) -> None:
        """Wait until it is."""
        eventually(lambda: self.get("/readyz").status == 200, "it is ready")

    def until(self, holds: Callable[["Scraper"], object], what: str) -> None:
        """Wait for something that is scraped."""
        eventually(lambda: holds(self), what)


class Documented(NamedTuple):
    name: str
    type: str
    labels: frozenset[str]


def documented() -> list[Documented]:
    """The rows of the table in docs/operations.md."""
    rows = re.findall(r"^\| `(lapwing_\w+)` \| (\w+) \|([^|]*)\|", DOCS.read_text(), re.MULTILINE)
    return [
        Documented(name, kind, frozenset(label.strip() for label in labels.split(",") if label.strip()))
        for name, kind, labels in rows
    ]
