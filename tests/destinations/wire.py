"""HTTP/1.1 as a server sees it, byte by byte, and what can go wrong with it."""

import contextlib
import gzip
import json
import re
import socket
import ssl
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

_HEADER = re.compile(rb"([A-Za-z0-9-]+): ([\x20-\x7e]*)")
ALWAYS = {"host", "content-length", "user-agent", "accept-encoding"}


class Violation(AssertionError):
    """A client has broken the protocol."""


def must(holds: object, what: str) -> None:
    """Say what a client did wrong."""
    if not holds:
        raise Violation(what)


@dataclass(frozen=True)
class Request:
    """A POST, its headers by their small names, its body unpacked."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What is answered; `lost` says how: whole, half, after a wait, by a reset before or after it was handled."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, found: Any, status: int = 200) -> Self:
        """JSON."""
        return cls(status, json.dumps(found).encode(), (("Content-Type", "application/json"),))


RESET, LOST, HALF, SLOW, TRICKLE = "reset", "lost", "half", "slow", "trickle"
"""Reset before it is handled; handled, and then: reset, half the answer, no answer in time, one byte at a time."""
Fault = str | Response


@dataclass
class Peer(ABC):
    """What all servers have: a port, `faults` for the next requests, `violations`, and TLS if there is a context."""

    context: ssl.SSLContext | None = None
    faults: deque[Fault | None] = field(default_factory=deque)
    violations: list[str] = field(default_factory=list)
    slow_s: float = 1.0
    connections: int = 0

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        assert not self.violations

    @property
    def url(self) -> str:
        """Where it is, by a name that certificates have."""
        return f"{'https' if self.context else 'http'}://localhost:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with self.context.wrap_socket(connection, server_side=True) if self.context else connection as talking:
                self.talk(talking)
        except Violation as error:
            self.violations.append(str(error))
        except OSError:
            pass

    @abstractmethod
    def talk(self, connection: socket.socket) -> None:
        """Serve one connection to its end."""


def reset(connection: socket.socket) -> None:
    """End a connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@dataclass
class StrictHttp(Peer):
    """Reads requests, checks what HTTP asks for, has each handled, and answers it or not."""

    posts: int = 0

    @abstractmethod
    def handle(self, request: Request) -> Response:
        """What the protocol above HTTP answers; raises `Violation`."""

    def talk(self, connection: socket.socket) -> None:
        """As `Peer`."""
        buffer = bytearray()
        for request in requests(connection, buffer):
            self.posts += 1
            fault = self.faults.popleft() if self.faults else None
            if fault == RESET:
                reset(connection)
                return
            response = fault if isinstance(fault, Response) else self.handle(request)
            if fault == LOST:
                reset(connection)
                return
            answer = spelled(response)
            if fault == SLOW:
                self._ended.wait(self.slow_s)
            elif fault == TRICKLE:
                for at in range(len(answer)):
                    connection.sendall(answer[at : at + 1])
                    time.sleep(0.005)
                continue
            if fault == HALF:
                connection.sendall(answer[: -len(response.body) // 2] if response.body else answer[:10])
                return
            connection.sendall(answer)


def requests(connection: socket.socket, buffer: bytearray) -> Iterator[Request]:
    """The requests of a connection, each checked."""
    while True:
        while b"\r\n\r\n" not in buffer:
            if not (piece := connection.recv(1 << 16)):
                must(not buffer, "the connection ends inside a head")
                return
            buffer += piece
        head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        found = re.fullmatch(rb"POST (/[\x21-\x7e]*) HTTP/1\.1", first)
        must(found, f"no request line: {first!r}")
        headers: dict[str, str] = {}
        for line in lines:
            fits = _HEADER.fullmatch(line)
            must(fits, f"no header: {line!r}")
            name = fits[1].decode().lower()  # type: ignore[index]
            must(name not in headers, f"twice: {name}")
            headers[name] = fits[2].decode()  # type: ignore[index]
        must(headers.keys() >= ALWAYS, f"headers are missing: {sorted(headers)}")
        must("transfer-encoding" not in headers, "chunked")
        must(headers["accept-encoding"] == "identity", "asks for packed answers")
        size = int(headers["content-length"])
        while len(rest) < size:
            if not (piece := connection.recv(1 << 16)):
                return  # killed in mid-body
            rest += piece
        buffer[:] = rest[size:]
        body = rest[:size]
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        yield Request(found[1].decode(), headers, body)  # type: ignore[index]


def spelled(response: Response) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {response.status} X", f"Content-Length: {len(response.body)}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    return "\r\n".join([*lines, "", ""]).encode() + response.body


def exactly(request: Request, *names: str) -> None:
    """No other headers than those of every request and these."""
    must(request.headers.keys() - ALWAYS == {*names}, f"headers: {sorted(request.headers)}")


def ndjson(body: bytes) -> list[Any]:
    """The objects of lines, each ended by LF."""
    must(body.endswith(b"\n"), "no LF at the end")
    return [parsed(line) for line in body[:-1].split(b"\n")]


def parsed(text: bytes) -> Any:
    """An object of JSON, no member twice at its top."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        must(len({key for key, _ in found}) == len(found), "a member twice")
        return dict(found)

    try:
        found = json.loads(text, object_pairs_hook=pairs)
    except ValueError as error:
        raise Violation(f"no JSON: {error}: {text[:80]!r}") from None
    must(isinstance(found, dict), "no object")
    return found
