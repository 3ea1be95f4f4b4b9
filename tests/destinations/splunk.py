"""Splunk's HTTP Event Collector, as its documentation and splunkd's answers have it."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.destinations.wire import Request, Response, StrictHttp, exactly, must, parsed

TOKEN = "11111111-2222-4333-8444-555555555555"


@dataclass
class Splunk(StrictHttp):
    """Indexes events; with `ack` says so by number, once it was asked `patience` times, but not for `never`."""

    ack: bool = True
    patience: int = 1
    never: set[int] = field(default_factory=set)
    bad: str = ""
    received: list[Any] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)
    largest: int = 0

    def handle(self, request: Request) -> Response:
        """Events, or a question for acknowledgements."""
        exactly(request, "authorization", "x-splunk-request-channel")
        if request.headers["authorization"] != f"Splunk {TOKEN}":
            return Response.of({"text": "Invalid token", "code": 4}, 403)
        channel = request.headers["x-splunk-request-channel"]
        must(str(uuid.UUID(channel)) == channel, "no GUID as channel")
        self.channels.add(channel)
        if request.path == f"/services/collector/ack?channel={channel}":
            return self._acks(request)
        must(request.path == "/services/collector/event", f"path {request.path}")
        events = [parsed(line) for line in request.body.split(b"\n")]
        for at, event in enumerate(events):
            must(
                event.keys() <= {"time", "host", "source", "sourcetype", "index", "event", "fields"}, f"{event.keys()}"
            )
            must(isinstance(event["time"], float), "time is no number of seconds")
            must(all(isinstance(value, str) for value in event["fields"].values()), "fields are not flat")
            if self.bad and self.bad in json.dumps(event["event"]):
                return Response.of({"text": "Invalid data format", "code": 6, "invalid-event-number": at}, 400)
        self.received += events
        self.largest = max(self.largest, len(events))
        number = len(self.asked)
        self.asked[number] = 0
        return Response.of({"text": "Success", "code": 0} | ({"ackId": number} if self.ack else {}))

    def _acks(self, request: Request) -> Response:
        if not self.ack:
            return Response.of({"text": "ACK is disabled", "code": 14}, 400)
        acks = {}
        for number in parsed(request.body)["acks"]:
            if number in self.asked:
                self.asked[number] += 1
            acks[str(number)] = self.asked.get(number, -1) >= self.patience and number not in self.never
        return Response.of({"acks": acks})

    @property
    def ids(self) -> list[str]:
        """The ids of all events, in the order in which they came."""
        return [event["fields"]["lapwing_id"] for event in self.received]
