"""A hosted HTTP source of Sumo Logic: a line for each record, packed."""

from collections.abc import Sequence

from flows.connectors.destinations.answer import Answer
from flows.connectors.destinations.http import Http, judged
from flows.connectors.destinations.tls import secrets
from flows.errors import UsageError
from flows.formats.forwarded import Record
from flows.forward_block import SumoLogic, url_fault


class SumoLogicClient:
    """The source's URL is all that it asks for, so nobody is shown it."""

    full = False

    def __init__(self, one: SumoLogic) -> None:
        (self._url,) = secrets(one, "url_env")
        if fault := url_fault(self._url, one.plaintext):
            raise UsageError(f"[[destination]] {one.id}: {one.url_env}: {fault}")
        self._http = Http(one)
        named = {"X-Sumo-Category": one.category, "X-Sumo-Host": one.host, "X-Sumo-Name": one.source}
        self._headers = {name: value for name, value in named.items() if value}
        self._headers["Content-Type"] = "application/x-ndjson" if one.is_json else "text/plain; charset=utf-8"
        if one.fields:
            self._headers["X-Sumo-Fields"] = ",".join(f"{key}={value}" for key, value in one.fields.items())

    def size(self, record: Record) -> int:
        """As `Client`."""
        return len(record.body) + 1

    def send(self, records: Sequence[Record]) -> Answer:
        """As `Client`."""
        body = b"".join(record.body + b"\n" for record in records)
        return judged(self._http.post(self._url, body, self._headers, packed=True), records)

    def settle(self) -> Answer:
        """As `Client`."""
        return Answer()

    def close(self) -> None:
        """As `Client`."""
        self._http.close()
