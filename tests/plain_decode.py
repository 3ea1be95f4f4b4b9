"""A decoder for tests of sources: `{"t": seconds}` lines to columns, everything else a dead letter."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np

from models.base import HAS_ID
from models.event import DeadLetter

SECOND = 1_000_000


def plain_decode(raw):
    rows, times, dead = [], [], list(raw.oversize)
    for row in range(len(raw)):
        message = raw.message(row)
        try:
            time = json.loads(message)["t"]
        except (ValueError, TypeError, KeyError):
            reason = "malformed_json" if message else "empty"
            digest = hashlib.sha256(message).hexdigest()
            offset = int(raw.offset[row])
            dead.append(DeadLetter("decode", reason, raw.source, offset, 0, len(message), digest, message))
            continue
        rows.append(row)
        times.append(int(time * SECOND))
    row = np.array(rows, np.int64)
    n = len(row)
    column = {
        "row": row, "time": np.array(times, np.int64), "record_time": raw.timestamp[row],
        "start": raw.start[row], "length": raw.length[row].astype(np.int32), "buffer": raw.buffer,
        "offset": raw.offset[row], "index": raw.index[row], "flags": np.full(n, HAS_ID, np.uint8),
        "note_start": np.zeros(n, np.int64), "note_length": np.zeros(n, np.int32),
        "entity": np.zeros((4, n), np.uint64), "names": np.zeros(0, np.uint8),
        "name_start": np.zeros((4, n), np.int64), "name_length": np.zeros((4, n), np.int32),
        "status": np.zeros(n, np.int16), "target": np.zeros(n, np.uint64), "marks": np.zeros((0, n), np.uint64),
        "hashes": np.zeros((0, n), np.uint64), "numbers": np.zeros((0, n)),
    } | {name: np.zeros(n, np.uint8) for name in ("counts", "action", "outcome", "reason", "method")}  # fmt: skip
    dead.sort(key=lambda letter: (letter.offset, letter.index))
    return SimpleNamespace(**column, dead=tuple(dead), shown_start=None, shown_length=None)
