"""The slow path: any bytes to the canonical members of an event, what was repaired and ignored, or why it is dead."""

import codecs
import json
import math
import re
import struct
import unicodedata
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from flows.formats.limits import Limits
from models.kernels.columns import MAX_USERNAME
from models.kernels.grammar import nesting
from models.kernels.number import MAX_DECIMAL
from models.kernels.scan import (
    ARRAY_KIND,
    DOUBLE,
    KINDS,
    MAX_STRING,
    MEMBERS,
    NORMAL,
    NUMBER,
    NUMBER_KIND,
    RECEIVED,
    RESERVED_KIND,
    SPANS,
    STATUS,
    STRING_KIND,
    TEXT,
    TIME,
    USERNAME,
)

LONGEST_NUMBER: Final = 64
"""Characters of a canonical member's number; a longer one is a bad value."""

_SPACE: Final = b" \t\n\r"
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_LOCAL: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,30})?)")
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_KIND: Final = tuple(KINDS.values())
_OTHERS: Final = frozenset(member for member in range(SPANS, len(_KIND)) if _KIND[member] == STRING_KIND)
"""Strings that become no column: most of what an ordinary event has."""
_INDEX: Final = {name: index for index, name in enumerate(MEMBERS)}


class Number(str):
    """A JSON number as it is written: no conversion, so neither loss nor cost."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written: duplicates and order stand."""

    __slots__ = ()


@dataclass(slots=True, frozen=True)
class Death:
    """Why a message is no event: one of `dead_letter.REASONS`, and what a person would ask next."""

    reason: str
    detail: str = ""


@dataclass(slots=True)
class Reading:
    """A message that is an object: what its canonical members say, before their values are judged.

    `spans` has the members that become columns or are compared, as (tag, bytes) for the kernels. `noted` are canonical
    members that were ignored, repaired or doubled; `elsewhere` is set where a repair lies outside them. `output` is the
    repaired message, None where the message stands as it is, at `begin` and `extent` bytes long.
    """

    values: dict[str, Any]
    spans: dict[int, tuple[int, bytes]]
    noted: set[int] = field(default_factory=set)
    elsewhere: bool = False
    output: bytes | None = None
    begin: int = 0
    extent: int = 0


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_constant
)
"""JSON with numbers as `Number` and objects as `Pairs`."""


def _paired(match: re.Match[str]) -> str:
    return "\\ufffd" if match[1] else match[0]


def _damaged(value: Any) -> bool:
    """Whether a surrogate stands anywhere in a value."""
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, Pairs):
        return any(_damaged(key) or _damaged(inner) for key, inner in value)
    return isinstance(value, list) and any(map(_damaged, value))


def _trimmed(message: bytes) -> tuple[int, int]:
    """Where the text lies in a message: after a byte order mark, without white space around it."""
    begin = len(message) - len(message.lstrip(_SPACE))
    if message.startswith(codecs.BOM_UTF8, begin):
        begin += 3
    inner = message[begin:]
    begin += len(inner) - len(inner.lstrip(_SPACE))
    return begin, len(message.rstrip(_SPACE))


def _finite(text: str) -> bool:
    return len(text) <= LONGEST_NUMBER and math.isfinite(float(text))


def _plain(text: str) -> bytes:
    """A number without exponent as the kernel reads it; one that can be no time is left as it is."""
    number = Decimal(text)
    if number == 0 or not -30 <= number.adjusted() <= 20:
        return text.encode()
    return format(number, "f").encode()


def _status(text: str) -> bytes:
    """A status such as 401.0 or 4.01e2 as three digits."""
    value = float(text)
    return str(int(value)).encode() if math.isfinite(value) and value == int(value) else text.encode()


def _zoned(text: str, timezone: str) -> str:
    """A time without offset as UTC; of the two times that one clock reading may mean, the earlier."""
    match = _LOCAL.fullmatch(text)
    if match is None:
        return text
    clock, _, fraction = match[2].partition(".")
    try:
        local = datetime.fromisoformat(f"{match[1]}T{clock}").replace(tzinfo=ZoneInfo(timezone))
        return f"{local.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{fraction or '0'}Z"
    except (ValueError, OverflowError):
        return text


def _compared(text: str) -> tuple[int, bytes]:
    """A number's span where it is compared: as it is written where the kernel can read that, else as a float64."""
    match = _DECIMAL.fullmatch(text)
    if match and len(text) < MAX_DECIMAL + bool(match[1]):
        return NUMBER, text.encode()
    return DOUBLE, struct.pack("<d", float(text))


def _number(member: int, text: str, compared: bool) -> tuple[bool, tuple[int, bytes] | None]:
    """Whether a number may stand in a member, and its span."""
    if not _finite(text):
        return member == TIME, (NUMBER, b"-") if member == TIME else None
    if member in (TIME, RECEIVED):
        return True, (NUMBER, _plain(text))
    if member == STATUS:
        return True, (NUMBER, _status(text))
    return True, _compared(text) if compared else None


def _string(member: int, text: str, timezone: str | None) -> tuple[bool, tuple[int, bytes] | None]:
    """Whether a string may stand in a member that takes strings, and its span."""
    raw = text.encode()
    if len(raw) > MAX_STRING or (member == USERNAME and len(raw) > MAX_USERNAME):
        return member == TIME, (TEXT, b"-") if member == TIME else None
    if member == USERNAME:
        raw = unicodedata.normalize("NFKC", text).lower().encode()
        return len(raw) <= MAX_STRING, (NORMAL, raw)
    if timezone is not None and member in (TIME, RECEIVED):
        raw = _zoned(text, timezone).encode()
    return True, (TEXT, raw)


def _judge(reading: Reading, member: int, value: Any, timezone: str | None, compared: bool) -> None:
    """Take one canonical member's value into the reading, or note that it is ignored."""
    if value is None or (value == "" and type(value) is str and member != TIME):
        return
    kind = _KIND[member]
    good = False
    span: tuple[int, bytes] | None = None
    if isinstance(value, str):
        numeric = isinstance(value, Number)
        if kind & NUMBER_KIND and not numeric and len(value) <= LONGEST_NUMBER and _NUMBER.fullmatch(value):
            numeric, value = True, Number(value)
        if numeric and kind & NUMBER_KIND:
            good, span = _number(member, value, compared)
        elif not numeric and kind & STRING_KIND:
            good, span = _string(member, value, timezone)
    elif kind & ARRAY_KIND:
        good = isinstance(value, list) and not isinstance(value, Pairs)
    if member == TIME and not good:
        span = (TEXT, b"-")
        value = value if isinstance(value, str) else "-"
    elif not good:
        reading.noted.add(member)
        return
    reading.values[MEMBERS[member]] = value
    if span is not None and (member < SPANS or compared):
        reading.spans[member] = span


@dataclass(slots=True, frozen=True)
class Opened:
    """A message that is an object. `broken` is its text with what was repaired in `whole`, None where nothing was."""

    value: Pairs
    whole: str
    broken: str | None
    begin: int
    stop: int


def opened(message: bytes, max_depth: int) -> Opened | Death:
    """Open one message as it may come from anywhere, or say why it cannot be done.

    The reasons are looked for in this order: `empty` (nothing but white space), `too_deep`, `malformed_json` (or
    `bad_utf8`, if it is not UTF-8 either; more than one value in a message is malformed too), `not_an_object`,
    `reserved_member`. White space around the object and one leading byte order mark are dropped.
    """
    begin, stop = _trimmed(message)
    if begin >= stop:
        return Death("empty")
    inner = message[begin:stop]
    if nesting(np.frombuffer(inner, np.uint8)) > max_depth:
        return Death("too_deep", f"nested deeper than {max_depth}")
    whole, broken = repaired(inner)
    try:
        value = _STRICT.decode(whole)
    except ValueError as error:
        where = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
        damaged = broken is not None and any("\udc80" <= c <= "\udcff" for c in broken)
        return Death("bad_utf8" if damaged else "malformed_json", where)
    if not isinstance(value, Pairs):
        return Death("not_an_object")
    if any(key in _INDEX and _KIND[_INDEX[key]] == RESERVED_KIND for key, _ in value):
        return Death("reserved_member", "the member lapwing is Lapwing's own")
    return Opened(value, whole, broken, begin, stop)


def repaired(message: bytes) -> tuple[str, str | None]:
    """The text of a message with U+FFFD for what is no character, and as it was, None where nothing was repaired."""
    broken: str | None = None
    try:
        text = message.decode()
    except UnicodeDecodeError:
        text = message.decode("utf-8", "replace")
        broken = message.decode("utf-8", "surrogateescape")
    whole = _ESCAPE.sub(_paired, text) if "\\u" in text else text
    if broken is None and whole != text:
        broken = text
    return whole, broken


def read(message: bytes, limits: Limits, compared: Container[int] = ()) -> Reading | Death:
    """Read one message of format `lapwing`; the members in `compared` have spans though they are no columns.

    It is dead for the reasons of `opened`; a missing or bad time and a missing entity are for the kernel to find. An
    empty string is absent, save as `time`.

    Cost: about 20 us for an ordinary event, linear in its size.
    """
    found = opened(message, limits.max_depth)
    if isinstance(found, Death):
        return found
    value, broken = found.value, found.broken
    reading = Reading({}, {}, begin=found.begin, extent=found.stop - found.begin)
    last: dict[int, Any] = {}
    for key, inside in value:
        member = _INDEX.get(key)
        if member is None:
            continue
        if member in last:
            reading.noted.add(member)
        last[member] = inside
    if broken is not None:
        reading.output = found.whole.encode()
        for (key, _), (raw_key, raw_value) in zip(value, _STRICT.decode(broken), strict=True):
            if _damaged(raw_value) or _damaged(raw_key):
                member = _INDEX.get(key)
                if member is None:
                    reading.elsewhere = True
                else:
                    reading.noted.add(member)
    for member, inside in last.items():
        if member in _OTHERS and member not in compared and type(inside) is str and 0 < len(inside) <= MAX_STRING // 4:
            reading.values[MEMBERS[member]] = inside
        else:
            _judge(reading, member, inside, limits.timezone, member in compared)
    return reading
