"""Sumo Logic's HTTP source, the Logs Ingestion API with its sign-in, and a receiver of Standard Webhooks."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from tests.destinations.wire import Request, Response, StrictHttp, exactly, must, ndjson, parsed

SUMO_PATH = "/receiver/v1/http/U2VjcmV0Q29kZQ=="
CLIENT_SECRET = "a~secret&=with%signs"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MOST_BYTES = 1_000_000


@dataclass
class Sumo(StrictHttp):
    """Lines of JSON, packed."""

    received: list[Any] = field(default_factory=list)

    def handle(self, request: Request) -> Response:
        """One request."""
        names = ("x-sumo-category", "x-sumo-host", "x-sumo-name", "x-sumo-fields")
        exactly(request, *names, "content-type", "content-encoding")
        must([request.headers[name] for name in names] == ["sec/lapwing", "siem-1", "lapwing", "env=prod"], "X-Sumo")
        if request.path != SUMO_PATH:
            return Response(401)
        must(request.headers["content-encoding"] == "gzip", "not packed")
        self.received += ndjson(request.body)
        return Response()

    @property
    def ids(self) -> list[str]:
        """The alerts' ids."""
        return [found["metadata"]["uid"] for found in self.received]


@dataclass
class Azure(StrictHttp):
    """Signs in by client credentials, and takes arrays of records for as long as a token holds."""

    token_requests: int = 0
    lifetime_s: int = 3600
    revoked: set[str] = field(default_factory=set)
    received: list[Any] = field(default_factory=list)

    def handle(self, request: Request) -> Response:
        """The sign-in, or records."""
        if request.path == "/7f0c/oauth2/v2.0/token":
            return self._sign_in(request)
        must(request.path == "/dataCollectionRules/dcr-1/streams/Custom-Lapwing?api-version=2023-01-01", request.path)
        exactly(request, "authorization", "content-type")
        must(request.headers["content-type"] == "application/json", "content type")
        if request.headers["authorization"] in self.revoked | {""}:
            return Response.of({"error": {"code": "InvalidToken"}}, 401)
        must(request.headers["authorization"] == f"Bearer token-{self.token_requests}", "token")
        if len(request.body) > MOST_BYTES:
            return Response.of({"error": {"code": "ContentLengthLimitExceeded"}}, 413)
        rows = json.loads(request.body)
        must(isinstance(rows, list) and rows, "no array")
        for row in rows:
            parsed(json.dumps(row).encode())
            must(datetime.fromisoformat(row["TimeGenerated"]).tzinfo is not None, "TimeGenerated")
        self.received += rows
        return Response(204)

    def _sign_in(self, request: Request) -> Response:
        exactly(request, "content-type")
        must(request.headers["content-type"] == "application/x-www-form-urlencoded", "content type")
        form = parse_qs(request.body.decode(), strict_parsing=True)
        must(form == {
            "client_id": ["app-1"], "client_secret": [CLIENT_SECRET], "grant_type": ["client_credentials"],
            "scope": ["https://monitor.azure.com/.default"],
        }, f"form: {sorted(form)}")  # fmt: skip
        self.token_requests += 1
        return Response.of({
            "token_type": "Bearer", "expires_in": self.lifetime_s, "access_token": f"token-{self.token_requests}",
        })  # fmt: skip

    @property
    def ids(self) -> list[str]:
        """The records' ids."""
        return [row["LapwingId"] for row in self.received]


@dataclass
class Hook(StrictHttp):
    """Checks signature and age, and takes no message twice."""

    bad: str = ""
    received: dict[str, list[Any]] = field(default_factory=dict)
    again: int = 0

    def handle(self, request: Request) -> Response:
        """One request."""
        exactly(request, "content-type", "webhook-id", "webhook-timestamp", "webhook-signature")
        id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        must(abs(time.time() - int(at)) < 300, "too old")
        key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, f"{id}.{at}.".encode() + request.body, hashlib.sha256).digest())
        must(request.headers["webhook-signature"] == f"v1,{wanted.decode()}", "signature")
        found = parsed(request.body)
        must(found.keys() == {"type", "records"} and found["type"] == "lapwing.alerts", f"{found.keys()}")
        if self.bad and self.bad in request.body.decode():
            return Response.of({"error": "unprocessable"}, 422)
        self.again += id in self.received
        self.received.setdefault(id, found["records"])
        return Response(204)

    @property
    def ids(self) -> list[str]:
        """The records' ids."""
        return [row["id"] for rows in self.received.values() for row in rows]
