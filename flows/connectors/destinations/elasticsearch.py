"""The `_bulk` API of Elasticsearch and OpenSearch: a batch is taken or refused item by item."""

import base64
from collections.abc import Sequence
from typing import Final

import msgspec

from flows.connectors.destinations.answer import Answer, shown, told
from flows.connectors.destinations.http import Http, judged
from flows.connectors.destinations.tls import secrets
from flows.formats.forwarded import Record
from flows.forward_block import Elasticsearch

_SHOWN: Final = "errors,items.*.status,items.*.error.type,items.*.error.reason"
_THERE: Final = 409
_LATER: Final = (401, 403, 404, 408, 429)
"""404 is an index that is missing, and that whoever sees it makes."""
_LINE: Final = 160


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _Item(msgspec.Struct):
    status: int
    error: _Error | None = None


class _Bulk(msgspec.Struct):
    items: list[dict[str, _Item]]


class ElasticsearchClient:
    """An alert's `_id` is its uid, and its number is the document's version: what comes late or twice changes nothing.

    With "create" the `_id` has the number too. A conflict is an item that is there already.
    """

    full = False

    def __init__(self, one: Elasticsearch) -> None:
        self._one, self._http = one, Http(one)
        self._headers = {"Content-Type": "application/x-ndjson"}
        if one.api_key_env:
            (key,) = secrets(one, "api_key_env")
            self._headers["Authorization"] = f"ApiKey {key}"
        elif one.password_env:
            (password,) = secrets(one, "password_env")
            both = base64.b64encode(f"{one.username}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {both}"
        self._url = f"{one.url.rstrip('/')}/_bulk?filter_path={_SHOWN}"

    def size(self, record: Record) -> int:
        """As `Client`."""
        return len(record.body) + _LINE

    def send(self, records: Sequence[Record]) -> Answer:
        """As `Client`."""
        lines = b"".join(self._action(record) + b"\n" + record.body + b"\n" for record in records)
        reply = self._http.post(self._url, lines, self._headers)
        if reply.status != 200:
            return judged(reply, records)
        try:
            items = msgspec.json.decode(reply.body, type=_Bulk).items
        except (msgspec.DecodeError, UnicodeDecodeError):
            items = []
        if len(items) != len(records):
            return Answer(again=records, why="the answer is none of _bulk")
        taken, again, refused, why = [], [], [], ""
        for record, found in zip(records, items, strict=True):
            item = next(iter(found.values()), _Item(0))
            if 200 <= item.status < 300 or item.status == _THERE:
                taken.append(record)
                continue
            error = item.error or _Error()
            text = told(f"status {item.status}: {error.type}: {error.reason}")
            if item.status in _LATER or item.status >= 500 or item.status < 400:
                again.append(record)
                why = shown(item.status, f"{error.type}: {error.reason}")
            else:
                refused.append((record, text))
        return Answer(taken=[taken] if taken else (), again=again, refused=refused, why=why)

    def settle(self) -> Answer:
        """As `Client`."""
        return Answer()

    def close(self) -> None:
        """As `Client`."""
        self._http.close()

    def _action(self, record: Record) -> bytes:
        one = self._one
        about: dict[str, str | int] = {"_index": one.index}
        if record.uid and one.action == "index":
            about |= {"_id": record.uid, "version": record.seq, "version_type": "external_gte"}
        else:
            about |= {"_id": record.id}
        if one.pipeline:
            about["pipeline"] = one.pipeline
        return msgspec.json.encode({one.action: about})
