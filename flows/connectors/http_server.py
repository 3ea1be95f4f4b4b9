"""A few pages over HTTP, for scrapers and probes: one thread, few connections, short waits, and nothing but GET."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from flows.errors import LapwingError

_MOST: Final = 32
"""Connections at a time: whoever has waited longest makes room for the next."""
_LONGEST_S: Final = 5.0
"""A connection's whole life."""
_HEAD_BYTES: Final = 8192


class Page(NamedTuple):
    """An answer."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: str = "text/plain; charset=utf-8"


class HttpServer:
    """Answers GET for some paths, from a thread of its own, until it is closed.

    A page is made for each request, on that thread, so it must not wait for anything. A connection has one request and
    five seconds, a slow client nothing beyond them, and many clients push out each other: never the process.

    Raises
    ------
    LapwingError
        The address cannot be had.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._open: dict[asyncio.StreamWriter, None] = {}
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self._socket = socket.create_server(place[:2], family=family, backlog=_MOST)
        except (OSError, UnicodeError) as error:
            raise LapwingError(
                f"cannot listen at {_spelled(host, port)} ({_reason(error)}): another run may have it; choose another "
                "with --metrics HOST:PORT, or with listen under [metrics]"
            ) from None
        self.address = _spelled(host, self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._talk, sock=self._socket, limit=_HEAD_BYTES):
            await self._stopping.wait()
            for writer in list(self._open):
                writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _MOST:
            next(iter(self._open)).transport.abort()
        self._open[writer] = None
        writer.transport.set_write_buffer_limits(0)  # `drain` then waits until all has left
        try:
            async with asyncio.timeout(_LONGEST_S):
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                    page = self._answer(head)
                except asyncio.LimitOverrunError:
                    page = _told(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                writer.write(_head(page) + page.body)
                await writer.drain()
                writer.close()
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            writer.transport.abort()
        finally:
            self._open.pop(writer, None)

    def _answer(self, head: bytes) -> Page:
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _told(HTTPStatus.BAD_REQUEST)
        if words[0] != b"GET":
            return _told(HTTPStatus.METHOD_NOT_ALLOWED)
        make = self._pages.get(words[1].partition(b"?")[0].decode("latin-1"))
        return make() if make is not None else _told(HTTPStatus.NOT_FOUND, f"there are {', '.join(self._pages)}")


def _told(status: HTTPStatus, more: str = "") -> Page:
    return Page(f"{more or status.phrase}\n".encode(), status)


def _head(page: Page) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET")
    return "\r\n".join([*lines, "", ""]).encode()


def _reason(error: OSError | UnicodeError) -> str:
    """In the system's words alone: `create_server` adds its own."""
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or "no host's name"


def _spelled(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
