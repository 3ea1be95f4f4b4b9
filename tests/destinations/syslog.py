"""A receiver of RFC 5424 with octet counting, over TCP or TLS."""

import re
import socket
from dataclasses import dataclass, field
from datetime import datetime

from tests.destinations.wire import RESET, Peer, must, reset

_MESSAGE = re.compile(
    rb"<(?P<pri>[0-9]{1,3})>1 (?P<time>\S+) (?P<host>[\x21-\x7e]{1,255}) (?P<app>[\x21-\x7e]{1,48}) - "
    rb"(?P<id>[\x21-\x7e]{1,32}) \[lapwing@32473"
    rb"(?P<params>(?: [a-z_.0-9]+=\"(?:[^\"\\\]]|\\[\"\\\]])*\")+)\] (?P<text>.*)",
    re.DOTALL,
)


@dataclass
class SyslogServer(Peer):
    """Reads frames. RESET ends the connection after the first bytes of a batch."""

    received: list[tuple[str, bytes]] = field(default_factory=list)

    def talk(self, connection: socket.socket) -> None:
        """As `Peer`."""
        buffer = b""
        while piece := connection.recv(1 << 16):
            if self.faults and self.faults.popleft() == RESET:
                reset(connection)
                return
            buffer += piece
            while found := re.match(rb"([1-9][0-9]{0,7}) ", buffer):
                size = int(found[1])
                if len(buffer) < found.end() + size:
                    break
                self._take(buffer[found.end() : found.end() + size])
                buffer = buffer[found.end() + size :]
            must(not buffer or re.match(rb"[1-9][0-9]{0,7}( |$)", buffer), f"no frame: {buffer[:40]!r}")

    def _take(self, message: bytes) -> None:
        found = _MESSAGE.fullmatch(message)
        must(found, f"no message of RFC 5424: {message[:200]!r}")
        assert found is not None
        must(int(found["pri"]) <= 191, "priority")
        must(re.fullmatch(rb"-|[0-9-]{10}T[0-9:]{8}(\.[0-9]{1,6})?Z", found["time"]), f"time {found['time']!r}")
        if found["time"] != b"-":
            datetime.fromisoformat(found["time"].decode())
        uid = re.search(rb' uid="([^"]*)"', found["params"])
        must(uid, "no uid")
        self.received.append((uid[1].decode() if uid else "", found["text"]))

    @property
    def ids(self) -> list[str]:
        """The records' ids."""
        return [id for id, _ in self.received]
