"""Secrets in a message, by their paths: overwritten where they stand, so that the message keeps its length."""

import json
import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels.blank import DEAD, SECRET, START, blank

Paths = tuple[tuple[str, ...], ...]
Span = tuple[int, int, bool]
"""Where a value begins and ends, and whether it is the inside of a string."""

ANY: Final = "*"
MOST_LAYERS: Final = 3
"""So many strings in each other that hold JSON are looked into."""

_TOKEN: Final = re.compile(rb'[ \t\r\n]*+("(?:[^"\\]++|\\.)*+("?)|[{}\[\]:,]|[^ \t\r\n{}\[\]:,"]++)', re.DOTALL)
_UNIT: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL)
_PLAIN: Final = re.compile(rb"[ !#-.0-\[\]-~]*")
"""A name whose characters can be written as escapes only with `\\u00`."""


class Blanking:
    """Overwrites the values at a format's secret paths.

    Examples
    --------
    >>> blanking = Blanking((("details", "password"), ("tokens", "*"), ("body", "pin")))
    >>> blanking.of(b'{"details":{"password":"hunter2"},"tokens":["a",12345],"body":"{\\\\"pin\\\\":\\\\"77\\\\"}"}')
    b'{"details":{"password":"*******"},"tokens":["*",null ],"body":"{\\\\"pin\\\\":\\\\"**\\\\"}"}'
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = tuple(path for path in paths if path)
        words = {next((step for step in reversed(path) if step != ANY), "") for path in self._paths}
        self._words = tuple(sorted(word.encode() for word in words))
        self._escape = b"\\u00" if all(map(_PLAIN.fullmatch, self._words)) else b"\\"
        names = sorted({step for path in self._paths for step in path} - {ANY, ""})
        raw = [name.encode() for name in names]
        self._names = np.frombuffer(b"".join(raw), np.uint8)
        self._ends = np.cumsum([len(name) for name in raw], dtype=np.int64)
        self._steps = _steps(self._paths, names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members that hold secrets, for messages that cannot be read."""
        return tuple(word.decode() for word in self._words if word)

    def rows(
        self,
        buffer: NDArray[np.uint8],
        begin: NDArray[np.int64],
        extent: NDArray[np.int32],
        rows: NDArray[np.int64],
    ) -> None:
        """As `of`, of some rows' objects, in place. Cost: about as `models.kernels.scan.scan` an ordinary row."""
        if not self._paths or not len(rows):
            return
        odd = np.zeros(len(begin), np.bool_)
        blank(buffer, begin, extent, rows, self._names, self._ends, self._steps, odd)
        for row in np.flatnonzero(odd).tolist():
            at, size = int(begin[row]), int(extent[row])
            buffer[at : at + size] = np.frombuffer(self.of(buffer[at : at + size].tobytes()), np.uint8)

    def might(self, message: bytes) -> bool:
        """Whether a secret can be in a message, or in some one after another: quick, and never wrongly false."""
        return any(word in message for word in self._words) or (bool(self._words) and self._escape in message)

    def of(self, message: bytes) -> bytes:
        """The message, of JSON, with `*` in the place of every character of a secret string.

        A number, list or object becomes `null` and spaces (what is shorter than that, `0`), also of equal length. The
        very object that was given comes back where there is no secret. Cost: some hundred ns where no secret's name is
        in the message, else about 1 us for each 100 bytes.
        """
        if not self.might(message):
            return message
        spans = [*_spans(message, self._paths, 0)]
        if not spans:
            return message
        out = bytearray(message)
        for begin, end, text in spans:
            size = end - begin
            out[begin:end] = b"*" * size if text else (b"null" if size >= 4 else b"0").ljust(size)
        return bytes(out)


def _spans(text: bytes, paths: Paths, layer: int) -> Iterator[Span]:
    """Where the secrets of a JSON text stand; nothing, or as far as it is JSON, where it is none."""
    stack: list[tuple[bool, Paths]] = []  # of each open container: whether it is an object, and the paths into it
    live = paths
    key = True
    at = 0
    while (match := _TOKEN.match(text, at)) is not None:
        at, first = match.end(), match[1][:1]
        if first in b"}]":
            if not stack:
                return
            stack.pop()
        elif first == b",":
            key = bool(stack) and stack[-1][0]
            if stack and not key:
                live = _inside(stack[-1][1], None)
            continue
        elif first == b":":
            key = False
            continue
        elif key and stack:
            live = _inside(stack[-1][1], _name(match[1]))
            continue
        elif () in live:
            end = at if first not in b"{[" else _container_end(text, at)
            if first == b'"':
                yield match.start(1) + 1, end - len(match[2]), True
            elif match[1] != b"null" and not (first in b"{[" and _is_empty(text[match.start(1) : end])):
                yield match.start(1), end, False
            at = end
        elif first in b"{[":
            stack.append((first == b"{", live))
            key = first == b"{"
            if not key:
                live = _inside(live, None)
            continue
        elif first == b'"' and live and layer < MOST_LAYERS:
            yield from _in_string(text, match.start(1) + 1, at - len(match[2]), live, layer)
        key = bool(stack) and stack[-1][0]


def _inside(paths: Paths, name: str | None) -> Paths:
    """The rest of the paths that go through a member, or through an element of a list."""
    return tuple(path[1:] for path in paths if path and path[0] in (name, ANY))


def _name(token: bytes) -> str:
    if b"\\" not in token:
        return token[1:-1].decode("utf-8", "replace")
    try:
        return str(json.loads(token))
    except ValueError:
        return ""


def _is_empty(container: bytes) -> bool:
    return len(container) <= 3 and not container[1:-1].strip()


def _container_end(text: bytes, at: int) -> int:
    """After the container whose first byte has just been read, or the text's end."""
    depth = 1
    while depth and (match := _TOKEN.match(text, at)) is not None:
        at = match.end()
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(match[1], 0)
    return at if not depth else len(text)


def _in_string(text: bytes, begin: int, end: int, live: Paths, layer: int) -> Iterator[Span]:
    """The secrets of the JSON that a string holds, where they stand in the text around it."""
    inner = bytearray()
    where: list[int] = []
    if text.find(b"{", begin, end) < 0 and text.find(b"[", begin, end) < 0 and text.find(b"\\u00", begin, end) < 0:
        return
    for match in _UNIT.finditer(text, begin, end):
        unit = match[0]
        if len(unit) > 1:
            try:
                unit = json.loads(b'"%b"' % unit).encode("utf-8", "replace")
            except ValueError:
                return
        inner += unit
        where += [match.start()] * len(unit)
    where.append(end)
    for first, last, quoted in _spans(bytes(inner), live, layer + 1):
        yield where[first], where[last], quoted


def _steps(paths: Paths, names: list[str]) -> NDArray[np.int32]:
    """What follows in each state on a name that no path has, an element of a list, and each name: for the kernel."""
    number: dict[frozenset[tuple[str, ...]], int] = {frozenset(): DEAD, frozenset(paths): START}
    columns: tuple[str | None, ...] = (None, None, *names)
    table: list[list[int]] = [[DEAD] * len(columns) for _ in range(3)]
    waiting = [(START, paths)]
    while waiting:
        state, live = waiting.pop()
        for column, name in enumerate(columns):
            following = _inside(live, name)
            if () in following:
                table[state][column] = SECRET
                continue
            key = frozenset(following)
            if key not in number:
                number[key] = len(table)
                table.append([DEAD] * len(columns))
                waiting.append((number[key], following))
            table[state][column] = number[key]
    return np.array(table, np.int32)
