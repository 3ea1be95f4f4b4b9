"""What really happened: one JSON object for each labelled attack."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from flows.errors import InputError


class Truth(msgspec.Struct, frozen=True):
    """One attack: the entities attacked or attacking (by dimension, as Lapwing names them) and its events' ids.

    `kind` is a detection's name without its dimension. `start` and `end` are the times of the first and the last event,
    RFC 3339. `expected` are the detections that should see it, likewise without dimension (empty: the one named like
    its kind), `successes` the ids of its sign-ins that got in: for a takeover the event that matters most.
    """

    attack: str
    kind: str
    entities: dict[str, list[str]]
    start: str
    end: str
    events: list[str]
    expected: list[str] = []
    successes: list[str] = []


def encode_truth(truth: Iterable[Truth]) -> bytes:
    """One line for each attack."""
    return b"".join(msgspec.json.encode(one) + b"\n" for one in truth)


def read_truth(path: str | Path) -> list[Truth]:
    """The attacks in a file of `encode_truth`'s lines.

    Raises
    ------
    InputError
        The file cannot be read, or a line is no truth; says which.
    """
    decoder = msgspec.json.Decoder(Truth)
    out: list[Truth] = []
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    out.append(_decoded(decoder, line, f"{path}:{number}"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return out


def _decoded(decoder: msgspec.json.Decoder[Truth], line: bytes, where: str) -> Truth:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not a truth record: {error}") from error
