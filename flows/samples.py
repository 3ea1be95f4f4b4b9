"""A few messages from a file of any layout: lines, or one JSON text over several lines."""

import sys
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import msgspec

from flows.errors import InputError
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.formats.repair import Death
from flows.formats.unwrap import pieces

MOST_BYTES: Final = 16 << 20
"""So much of a file is read."""


@dataclass(slots=True)
class Samples:
    """The events of the messages read, each with its message's number from 1, and what could not be one."""

    messages: int
    records: list[dict[str, Any]]
    of: list[int]
    dead: list[tuple[int, str, str]]  # message, reason, detail


def read(path: str, limits: Limits, most: int) -> Samples:
    """At most `most` messages of a file, `-` being stdin, unwrapped as an input's are.

    Raises
    ------
    InputError
        If it cannot be read, or has nothing in it.
    """
    try:
        if path == "-":
            text = _some(sys.stdin.buffer)
        else:
            with open(path, "rb") as file:
                text = _some(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    found = Samples(0, [], [], [])
    for number, message in enumerate(_messages(text)[:most], 1):
        found.messages = number
        for piece in pieces(message, limits):
            if isinstance(piece, Death):
                found.dead.append((number, piece.reason, piece.detail))
                continue
            record = _object(piece)
            if record is None:
                letter = decode(raw_batch("sample", [piece]), limits).dead
                found.dead += [(number, one.reason, one.detail) for one in letter]
            else:
                found.records.append(record)
                found.of.append(number)
    if not found.messages:
        raise InputError(f"{path}: no message in it")
    return found


def _some(file: BinaryIO) -> bytes:
    text = file.read(MOST_BYTES + 1)
    return text if len(text) <= MOST_BYTES else text[: text.rfind(b"\n", 0, MOST_BYTES) + 1]


def _messages(text: bytes) -> list[bytes]:
    """The whole as one message where it is one JSON value, or compressed; else its lines that are not empty."""
    if text.startswith(b"\x1f\x8b"):
        return [text]
    whole = text.strip()
    try:
        msgspec.json.decode(whole)
    except (ValueError, RecursionError):
        return [line for line in text.split(b"\n") if line.strip()]
    return [whole]


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
