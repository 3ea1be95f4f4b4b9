"""Microsoft Sentinel: the Logs Ingestion API of Azure Monitor, with a token by client credentials."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from flows.connectors.destinations.answer import Answer, told
from flows.connectors.destinations.http import Http, Reply, judged
from flows.connectors.destinations.tls import secrets
from flows.formats.forwarded import Record
from flows.forward_block import Sentinel

_VERSION: Final = "2023-01-01"
_EARLY_S: Final = 60.0
_LINE: Final = 128


class _Token(msgspec.Struct):
    access_token: str
    expires_in: int = 3600


class SentinelClient:
    """A batch is a JSON array. Each record gets `TimeGenerated` and `LapwingId` as members more."""

    full = False

    def __init__(self, one: Sentinel) -> None:
        (self._secret,) = secrets(one, "client_secret_env")
        self._one, self._http = one, Http(one)
        self._url = (
            f"{one.url.rstrip('/')}/dataCollectionRules/{quote(one.rule_id, '')}/streams/{quote(one.stream, '')}"
            f"?api-version={_VERSION}"
        )
        self._token, self._until = "", 0.0

    def size(self, record: Record) -> int:
        """As `Client`."""
        return len(record.body) + _LINE

    def send(self, records: Sequence[Record]) -> Answer:
        """As `Client`."""
        if time.monotonic() >= self._until and (refused := self._sign_in()) is not None:
            return Answer(again=records, why=f"no token: {refused.failing}", wait_s=refused.wait_s)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        reply = self._http.post(self._url, b"[" + b",".join(map(_row, records)) + b"]", headers)
        if reply.status == 401:
            self._until = 0.0
        return judged(reply, records)

    def settle(self) -> Answer:
        """As `Client`."""
        return Answer()

    def close(self) -> None:
        """As `Client`."""
        self._http.close()

    def _sign_in(self) -> Reply | None:
        """Get a token; the answer where there is none, without what it may have of secrets."""
        one = self._one
        form = {
            "client_id": one.client_id, "scope": one.scope, "client_secret": self._secret,
            "grant_type": "client_credentials",
        }  # fmt: skip
        url = f"{one.authority.rstrip('/')}/{quote(one.directory_id, '')}/oauth2/v2.0/token"
        reply = self._http.post(url, urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        if reply.status != 200:
            return reply
        try:
            token = msgspec.json.decode(reply.body, type=_Token)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Reply(0, b"the answer has none")
        if not (token.access_token.isascii() and token.access_token.isprintable()):
            return Reply(0, told("the answer has none that fits a header").encode())
        self._token, self._until = token.access_token, time.monotonic() + max(1.0, token.expires_in - _EARLY_S)
        return None


def _row(record: Record) -> bytes:
    """A record with two members more."""
    moment = datetime.now(UTC) if record.time is None else datetime.fromtimestamp(record.time / 1000, UTC)
    more = {"TimeGenerated": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "LapwingId": record.id}
    body = record.body.strip()
    comma = b"" if body[1:-1].strip() == b"" else b","
    return body[:-1] + comma + msgspec.json.encode(more)[1:]
