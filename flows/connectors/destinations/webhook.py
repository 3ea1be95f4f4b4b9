"""A signed POST, as the Standard Webhooks specification 1.0 has it."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from flows.connectors.destinations.answer import Answer, text_or_json
from flows.connectors.destinations.http import Http, judged
from flows.connectors.destinations.tls import secrets
from flows.errors import UsageError
from flows.formats.forwarded import Record
from flows.forward_block import Webhook

_PREFIX: Final = "whsec_"
_LINE: Final = 96


class WebhookClient:
    """The body is `{"type": "lapwing.alerts", "records": [{"id": ..., "record": ...}]}`.

    `webhook-id` is the same for the same records, `webhook-timestamp` is when they are sent, and `webhook-signature` is
    an HMAC-SHA256 of both and the body: who checks it refuses what is too old and what was had before.
    """

    full = False

    def __init__(self, one: Webhook) -> None:
        (text,) = secrets(one, "secret_env")
        self._one, self._http = one, Http(one)
        try:
            self._secret = base64.b64decode(text[len(_PREFIX) :], validate=True) if text.startswith(_PREFIX) else b""
        except binascii.Error:
            raise UsageError(f"[[destination]] {one.id}: {one.secret_env}: {_PREFIX} and no base64 behind it") from None
        self._secret = self._secret or text.encode()

    def size(self, record: Record) -> int:
        """As `Client`."""
        return len(record.body) + _LINE

    def send(self, records: Sequence[Record]) -> Answer:
        """As `Client`."""
        rows = [{"id": record.id, "record": text_or_json(record.body, self._one.form)} for record in records]
        body = msgspec.json.encode({"type": f"lapwing.{self._one.kind}", "records": rows})
        id = hashlib.sha256("\n".join(record.id for record in records).encode()).hexdigest()[:32]
        headers = {"Content-Type": "application/json"} | signed(self._secret, f"msg_{id}", int(time.time()), body)
        return judged(self._http.post(self._one.url, body, headers), records)

    def settle(self) -> Answer:
        """As `Client`."""
        return Answer()

    def close(self) -> None:
        """As `Client`."""
        self._http.close()


def signed(secret: bytes, id: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers of a message. The example is that of the specification's own libraries.

    >>> signed(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
    ...     b'{"test": 2432232314}')["webhook-signature"]
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    text = f"{id}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, text, "sha256")).decode()
    return {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}
