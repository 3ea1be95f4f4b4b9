"""Metrics and the two probes of a process over HTTP, whatever the process is."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from flows.connectors.http_server import HttpServer, Page
from flows.metrics_block import address


@contextmanager
def served(
    listen: str,
    collectors: Iterable[Collector],
    say: Callable[[str], None],
    *,
    ailing: Callable[[], str] = str,
    waiting: Callable[[], str] = str,
    well: Callable[[], str] = lambda: "ok",
) -> Iterator[None]:
    """Serve /metrics, /healthz and /readyz at an address, if there is one, for as long as this lasts.

    `ailing` and `waiting` say in a line why the process is ill or not ready, nothing where it is not; `well` what
    /healthz says of one that is not ill.

    Raises
    ------
    LapwingError
        The address cannot be had.
    """
    if not listen:
        yield
        return
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    pages: dict[str, Callable[[], Page]] = {
        "/metrics": lambda: Page(generate_latest(registry), kind=CONTENT_TYPE_PLAIN_0_0_4),
        "/healthz": lambda: _verdict(ailing(), well()),
        "/readyz": lambda: _verdict(waiting(), "ok"),
    }
    server = HttpServer(*address(listen), pages)
    try:
        say(f"metrics at http://{server.address}/metrics, also /healthz and /readyz")
        yield
    finally:
        server.close()


def _verdict(why: str, well: str) -> Page:
    return Page(f"{why or well}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK)
