"""Splunk's HTTP Event Collector, with indexer acknowledgement."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from flows.connectors.destinations.answer import Answer, text_or_json
from flows.connectors.destinations.http import Http, judged
from flows.connectors.destinations.tls import secrets
from flows.durations import microseconds
from flows.formats.forwarded import Record
from flows.formats.splunk_hec import SOURCE_TYPES, envelope
from flows.forward_block import SplunkHec

_ABOUT_THE_EVENT: Final = (5, 6, 12, 13, 15)
"""Codes of a 400 that are about an event: no data, invalid format, event missing, event blank, fields. All others are
about the configuration of the token, as an index that is not allowed, and pass once that is right."""
_NO_ACK: Final = 14
_SOURCE_TYPES: Final = {"alerts": SOURCE_TYPES["alert"], "scored": SOURCE_TYPES["scored"], "events": "lapwing:event"}
_LINE: Final = 256


class _Said(msgspec.Struct):
    code: int = -1
    text: str = ""
    ack: int | None = msgspec.field(name="ackId", default=None)


class _Acks(msgspec.Struct):
    acks: dict[str, bool] = {}


@dataclass(slots=True)
class _Sent:
    ack: int
    records: Sequence[Record]
    until: float


class SplunkHecClient:
    """Each event has its record's id as the indexed field `lapwing_id`.

    With acknowledgement a batch is delivered when Splunk says that it is indexed; one of which that is not said within
    `ack_timeout` is sent again. So that nothing is sent that is never acknowledged, the token is asked first whether it
    has acknowledgement at all. Up to `ack_window` batches are under way at a time; with 1 their order is strict.
    """

    def __init__(self, one: SplunkHec) -> None:
        (token,) = secrets(one, "token_env")
        self._one, self._http = one, Http(one)
        channel = str(uuid.uuid4())
        self._headers = {"Authorization": f"Splunk {token}", "X-Splunk-Request-Channel": channel}
        base = one.url.rstrip("/")
        self._url = f"{base}/services/collector/event" if urlsplit(base).path in ("", "/") else base
        self._acks = f"{self._url.removesuffix('/event')}/ack?channel={channel}"
        self._asked = not one.ack
        self._open: list[_Sent] = []

    @property
    def full(self) -> bool:
        """As `Client`."""
        return len(self._open) >= self._one.ack_window

    def size(self, record: Record) -> int:
        """As `Client`."""
        return len(record.body) + _LINE

    def send(self, records: Sequence[Record]) -> Answer:
        """As `Client`."""
        if not self._asked:
            reply = self._http.post(self._acks, b'{"acks":[0]}', self._headers)
            if reply.status != 200:
                why = reply.failing
                if _said(reply.body).code == _NO_ACK:
                    why = "the token has no indexer acknowledgement: switch it on, or set ack = false"
                return Answer(again=records, why=why, wait_s=reply.wait_s)
            self._asked = True
        reply = self._http.post(self._url, b"\n".join(map(self._event, records)), self._headers)
        said = _said(reply.body)
        if reply.status == 400 and said.code not in _ABOUT_THE_EVENT:
            return Answer(again=records, why=reply.failing if said.code < 0 else reply.why)
        answer = judged(reply, records)
        if answer.again or not self._one.ack:
            return answer
        if said.ack is None:
            return Answer(again=records, why="the answer has no ackId")
        until = time.monotonic() + microseconds(self._one.ack_timeout) / 1e6
        self._open.append(_Sent(said.ack, records, until))
        return Answer()

    def settle(self) -> Answer:
        """As `Client`."""
        if not self._open:
            return Answer()
        asked = msgspec.json.encode({"acks": [sent.ack for sent in self._open]})
        reply = self._http.post(self._acks, asked, self._headers)
        try:
            acks = msgspec.json.decode(reply.body, type=_Acks).acks if reply.status == 200 else {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            acks = {}
        taken, waiting = [], []
        for sent in self._open:
            if acks.get(str(sent.ack)):
                taken.append(sent.records)
            else:
                waiting.append(sent)
        now = time.monotonic()
        over = [sent for sent in waiting if sent.until <= now]
        self._open = [sent for sent in waiting if sent.until > now]
        again = [record for sent in over for record in sent.records]
        why = reply.failing if reply.status != 200 else f"not acknowledged within {self._one.ack_timeout}"
        pending_s = microseconds(self._one.ack_poll) / 1e6 if self._open else 0.0
        return Answer(taken=taken, again=again, why=why if again else "", pending_s=pending_s)

    def close(self) -> None:
        """As `Client`."""
        self._http.close()

    def _event(self, record: Record) -> bytes:
        one = self._one
        return envelope(
            text_or_json(record.body, one.form), one.sourcetype or _SOURCE_TYPES[one.kind], time=record.time,
            id=record.id, tenant=record.tenant, severity=record.severity, risk=record.risk,
            host=one.host, source=one.source, index=one.index,
        )  # fmt: skip


def _said(body: bytes) -> _Said:
    try:
        return msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Said()
