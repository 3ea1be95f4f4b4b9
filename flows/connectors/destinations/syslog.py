"""RFC 5424 over TLS (RFC 5425) or TCP (RFC 6587), with octet counting."""

import fcntl
import select
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from flows.connectors.destinations.answer import Answer
from flows.connectors.destinations.tls import context
from flows.formats.forwarded import Record
from flows.formats.syslog_rfc5424 import SD_ID, SEVERITIES
from flows.forward_block import Syslog, address

_HEADER: Final = 256
_LOOK_S: Final = 0.001


class SyslogClient:
    """One connection, kept as long as it holds. A batch is delivered when the peer's system has acknowledged its bytes.

    The protocol confirms nothing, so what a peer's system has and its program never reads, because it dies, is lost
    without a trace, whatever a sender does. The connection is looked at before each batch: what the peer has closed
    meanwhile is opened anew.
    """

    full = False

    def __init__(self, one: Syslog) -> None:
        self._one, self._place = one, address(one.address)
        self._context = context(one) if one.tls else None
        self._host = one.host or _word(socket.gethostname(), 255)
        self._socket: socket.socket | None = None

    def size(self, record: Record) -> int:
        """As `Client`."""
        return len(record.body) + _HEADER

    def send(self, records: Sequence[Record]) -> Answer:
        """As `Client`."""
        frames = b"".join(framed(self._message(record)) for record in records)
        try:
            if self._socket is not None and self._closed(self._socket):
                self.close()
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(frames)
            self._taken(self._socket)
        except OSError as error:
            self.close()
            return Answer(again=records, why=f"{type(error).__name__}: {error}")
        return Answer(taken=(records,))

    def settle(self) -> Answer:
        """As `Client`."""
        return Answer()

    def close(self) -> None:
        """As `Client`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(self._place, self._one.timeout_s)
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return self._context.wrap_socket(plain, server_hostname=self._place[0]) if self._context else plain
        except BaseException:
            plain.close()
            raise

    def _closed(self, connection: socket.socket) -> bool:
        """Whether the peer has closed its side: a receiver of syslog says nothing, so what can be read is the end."""
        if not select.select([connection], [], [], 0)[0]:
            return False
        connection.setblocking(False)
        try:
            return not connection.recv(1 << 16)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False  # a session ticket of TLS
        finally:
            connection.settimeout(self._one.timeout_s)

    def _taken(self, connection: socket.socket) -> None:
        """Wait until the peer's system has acknowledged all bytes, where this system can tell."""
        until = time.monotonic() + self._one.timeout_s
        while sys.platform == "linux" and _waiting(connection):
            if time.monotonic() > until:
                raise TimeoutError("bytes are not acknowledged")
            if self._closed(connection):
                raise ConnectionResetError("closed while bytes were on their way")
            time.sleep(_LOOK_S)

    def _message(self, record: Record) -> bytes:
        """A message whose text is the record, or the record where its form is a message already."""
        if self._one.form == "syslog":
            return record.body
        priority = self._one.facility * 8 + SEVERITIES[min(record.severity, 5)]
        moment = "-" if record.time is None else _moment(record.time)
        data = f'[{SD_ID} uid="{_param(record.id)}"]'
        kind = self._one.kind.removesuffix("s")
        app = _word(self._one.app_name, 48)
        return f"<{priority}>1 {moment} {self._host} {app} - {kind} {data} ".encode() + record.body


def _waiting(connection: socket.socket) -> int:
    """Bytes that the peer's system has not acknowledged."""
    return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])


def framed(message: bytes) -> bytes:
    """A message behind the number of its octets.

    >>> framed(b"<110>1 - - - - - -")
    b'18 <110>1 - - - - - -'
    """
    return b"%d %b" % (len(message), message)


def _moment(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    except (ValueError, OverflowError, OSError):
        return "-"


def _word(text: str, most: int) -> str:
    """A header's field: printable ASCII without spaces."""
    return "".join(c for c in text if "!" <= c <= "~")[:most] or "-"


def _param(text: str) -> str:
    """A parameter's value, escaped as RFC 5424 6.3.3 asks.

    >>> _param('a"]\\\\')
    'a\\\\"\\\\]\\\\\\\\'
    """
    return "".join(f"\\{c}" if c in '"\\]' else c for c in text)
