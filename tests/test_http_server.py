"""The server of metrics and health against clients that are slow, many, or wrong."""

import socket
import threading
from collections.abc import Iterator

import pytest

from flows.connectors.http_server import HttpServer, Page
from flows.errors import LapwingError

BODY = b"x" * (4 << 20)
"""More than the kernel takes for a client that does not read."""


@pytest.fixture
def server() -> Iterator[HttpServer]:
    one = HttpServer("127.0.0.1", 0, {"/page": lambda: Page(b"a page\n"), "/large": lambda: Page(BODY)})
    yield one
    one.close()


def connected(server: HttpServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), 60)


def asked(server: HttpServer, request: bytes) -> bytes:
    """All that comes back until the server hangs up."""
    with connected(server) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def test_a_page(server: HttpServer) -> None:
    head, _, body = asked(server, b"GET /page?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b"a page\n"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 7\r\n" in head
    assert asked(server, b"GET /large HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n" + BODY)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /other HTTP/1.1", 404),
        (b"GET /../page HTTP/1.1", 404),
        (b"GET /\xff\x00 HTTP/1.1", 404),
        (b"POST /page HTTP/1.1", 405),
        (b"DELETE /page HTTP/1.1", 405),
        (b"get /page HTTP/1.1", 405),
        (b"GET /page", 400),
        (b"GET /page SPDY/9", 400),
        (b"", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"GET /page HTTP/1.1\r\nCookie: " + b"y" * 20_000, 431),
    ],
)
def test_what_is_no_request_for_a_page(server: HttpServer, request_line: bytes, status: int) -> None:
    assert asked(server, request_line + b"\r\n\r\n").startswith(b"HTTP/1.1 %d " % status)


def test_slow_clients_hold_up_nobody_and_are_let_go(server: HttpServer) -> None:
    threads = threading.active_count()
    idle = [connected(server) for _ in range(100)]
    dripping = [connected(server) for _ in range(20)]
    for client in dripping:
        client.sendall(b"GET /pa")
    greedy = [connected(server) for _ in range(20)]
    for client in greedy:
        client.sendall(b"GET /large HTTP/1.1\r\n\r\n")  # and never reads
    assert asked(server, b"GET /page HTTP/1.1\r\n\r\n").endswith(b"a page\n")
    assert threading.active_count() == threads
    for client in [*idle, *dripping]:
        try:
            while client.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
    for client in greedy:
        client.settimeout(60)
        received = 0
        try:
            while data := client.recv(1 << 16):
                received += len(data)
        except ConnectionResetError:
            pass
        client.close()
    for client in [*idle, *dripping]:
        client.close()
    assert asked(server, b"GET /page HTTP/1.1\r\n\r\n").endswith(b"a page\n")


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "no such host"])
def test_an_address_of_somebody_else(host: str) -> None:
    with pytest.raises(LapwingError, match=f"cannot listen at {host}:9464 "):
        HttpServer(host, 9464, {})


def test_the_sixth_version() -> None:
    server = HttpServer("::1", 0, {"/page": lambda: Page(b"a page\n")})
    try:
        assert server.address.startswith("[::1]:")
        with socket.create_connection(("::1", int(server.address.rpartition(":")[2])), 60) as client:
            client.sendall(b"GET /page HTTP/1.1\r\n\r\n")
            assert b"a page\n" in client.recv(1 << 16)
    finally:
        server.close()
