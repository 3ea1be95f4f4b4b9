"""POST over HTTP/1.1: one connection, verified TLS, bounded answers, no redirects, no retries of its own."""

import email.utils
import gzip
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import urllib3

from flows.connectors.destinations.answer import Answer, shown, told
from flows.connectors.destinations.tls import context
from flows.formats.forwarded import Record
from flows.forward_block import Destination

MOST_ANSWER: Final = 1 << 24
"""Bytes of an answer that are read."""
_LONGEST_WAIT_S: Final = 3600.0
"""As long as a destination may ask to be left alone."""
_REFUSED: Final = (400, 413, 422)


class Reply(NamedTuple):
    """An answer that came whole; `status` is 0 where none did, and `body` then says why."""

    status: int
    body: bytes
    wait_s: float = 0.0

    @property
    def why(self) -> str:
        """The answer whole, for what is kept of a record that it refuses."""
        return f"HTTP {self.status}: {told(self.body)}" if self.status else told(self.body)

    @property
    def failing(self) -> str:
        """The answer as a log may tell it."""
        return shown(self.status, self.body) if self.status else told(self.body)


class Http:
    """Posts to a destination. An answer's body has to be there whole within the timeout, however it trickles."""

    def __init__(self, one: Destination) -> None:
        self._timeout = one.timeout_s
        self._pool = urllib3.PoolManager(
            num_pools=2, maxsize=1, retries=False, ssl_context=context(one),
            timeout=urllib3.Timeout(connect=self._timeout, read=self._timeout),
        )  # fmt: skip

    def post(self, url: str, body: bytes, headers: Mapping[str, str], packed: bool = False) -> Reply:
        """The answer to a POST. `packed` sends the body with gzip."""
        sent = dict(headers) | {"User-Agent": "lapwing", "Accept-Encoding": "identity"}
        if packed:
            body = gzip.compress(body, 6, mtime=0)
            sent["Content-Encoding"] = "gzip"
        try:
            answer = self._pool.request("POST", url, body=body, headers=sent, redirect=False, preload_content=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Reply(0, _reason(error))
        try:
            return Reply(answer.status, self._read(answer), wait_s(answer.headers.get("Retry-After", "")))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            answer.close()
            return Reply(0, b"half an answer: " + _reason(error))
        finally:
            answer.release_conn()

    def _read(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        until = time.monotonic() + self._timeout
        pieces, size = [], 0
        while piece := answer.read1(1 << 16):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_ANSWER or time.monotonic() > until:
                answer.close()
                raise OSError("it is too long" if size > MOST_ANSWER else "it takes too long")
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()


def judged(reply: Reply, records: Sequence[Record]) -> Answer:
    """What an answer means where it is about a batch as a whole.

    400, 413 and 422 are about what was sent. All else that is no success may pass: also 401, 403 and 404, once somebody
    has put the credentials or the address right.
    """
    if 200 <= reply.status < 300:
        return Answer(taken=(records,))
    if reply.status in _REFUSED:
        return Answer(again=records, why=reply.why, halve=True)
    return Answer(again=records, why=reply.failing, wait_s=reply.wait_s)


def wait_s(text: str) -> float:
    """The seconds of a `Retry-After`, which are a number or a date; 0 for neither, an hour at most.

    >>> wait_s("120"), wait_s("soon"), wait_s("Wed, 21 Oct 2015 07:28:00 GMT"), wait_s("999999999999")
    (120.0, 0.0, 0.0, 3600.0)
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), _LONGEST_WAIT_S)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, moment - time.time()), _LONGEST_WAIT_S)


def _reason(error: BaseException) -> bytes:
    """Why there is no answer, without the addresses of objects that the library puts in."""
    inner: object = getattr(error, "reason", None) or (error.args[-1] if error.args else error)
    return f"{type(error).__name__}: {inner}".encode("utf-8", "replace")
