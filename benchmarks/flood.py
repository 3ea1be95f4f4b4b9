"""Events of a flood: accounts seen on two days before, then millions of addresses and accounts seen once.

All lines have one width and are written column by column. Account and address k belong together; regulars, victims,
latecomers and one-shots are ranges of k that do not meet.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

START = 1_790_000_000_000_000  # microseconds UTC
SECOND = 1_000_000
HOUR = 3_600 * SECOND
VISITS = 12
"""Minutes in which a regular is seen, six a day: more than a baseline of one's own needs."""
BLOCK = 100_000
_LINE = b'{"time":%016d,"ip":"100.100.100.100","username":"u-%08d","action":"login","outcome":"success"}\n' % (0, 0)
_TIME, _IP, _USER = _LINE.index(b"0"), _LINE.index(b"100."), _LINE.index(b"u-") + 2
_OUTCOME = _LINE.index(b"success")
_OCTETS = np.array([list(b"%d" % octet) for octet in range(100, 256)], np.uint8)


@dataclass(slots=True, frozen=True)
class Flood:
    """How much of each. The flood begins 15 minutes after the second day, the attacks on victims at that day's end.

    Latecomers are victims of short attacks within the flood: one after another through its middle half, 30 failed
    logins in a minute each.
    """

    one_shots: int = 10_000_000
    regulars: int = 50_000
    victims: int = 20
    latecomers: int = 20
    hours: float = 24.0

    @property
    def begins(self) -> int:
        """When the first one-shot comes."""
        return START + 48 * HOUR + 900 * SECOND

    @property
    def ends(self) -> int:
        """When the last has come."""
        return self.begins + int(self.hours * HOUR)


def lines(time: NDArray[np.int64], who: NDArray[np.int64], failed: NDArray[np.bool_]) -> bytes:
    """One event a row, in the rows' order.

    >>> lines(np.array([START]), np.array([157]), np.array([True])).decode()
    '{"time":1790000000000000,"ip":"100.100.101.101","username":"u-00000157","action":"login","outcome":"failure"}\\n'
    """
    text = np.tile(np.frombuffer(_LINE, np.uint8), (len(time), 1))
    for at, digits, number in ((_TIME, 16, time), (_USER, 8, who)):
        left = number.copy()
        for digit in range(digits - 1, -1, -1):
            text[:, at + digit] = 48 + left % 10
            left //= 10
    left = who.copy()
    for octet in range(3, -1, -1):
        text[:, _IP + 4 * octet : _IP + 4 * octet + 3] = _OCTETS[left % len(_OCTETS)]
        left //= len(_OCTETS)
    text[failed, _OUTCOME : _OUTCOME + 7] = np.frombuffer(b"failure", np.uint8)
    return text.tobytes()


def regular_lines(flood: Flood) -> bytes:
    """One event of each regular, in the order of their numbers."""
    who = np.arange(flood.regulars)
    return lines(np.full(len(who), START), who, np.zeros(len(who), bool))


def stream(flood: Flood, seed: int = 1) -> Iterator[bytes]:
    """The whole stream in order of time, in blocks of whole lines."""
    rng = np.random.default_rng(seed)
    regulars = np.arange(flood.regulars)
    for visit in range(VISITS):
        begin, length = START + visit * 4 * HOUR, 4 * HOUR
        time = begin + np.arange(flood.regulars) * length // flood.regulars
        yield lines(time, rng.permutation(regulars), np.zeros(flood.regulars, bool))
    attacked = START + 48 * HOUR + np.arange(0, flood.ends - START - 48 * HOUR, 20 * SECOND)
    attacks = [(attacked, flood.regulars + np.arange(flood.victims))]
    for k in range(flood.latecomers):
        begin = flood.begins + (flood.ends - flood.begins) * (flood.latecomers + 2 * k) // (4 * flood.latecomers)
        who = np.array([flood.regulars + flood.victims + k])
        attacks.append((begin + np.arange(0, 60 * SECOND, 2 * SECOND), who))
    ordinary = flood.regulars + flood.victims + flood.latecomers
    blocks = max(-(-flood.one_shots // BLOCK), 1)
    before = START
    for block in range(blocks):
        first, last = flood.one_shots * block // blocks, flood.one_shots * (block + 1) // blocks
        until = flood.begins + (flood.ends - flood.begins) * (block + 1) // blocks
        number = np.arange(first, last)
        time = [flood.begins + number * (flood.ends - flood.begins) // flood.one_shots]
        who = [ordinary + number]
        for times, whom in attacks:
            due = times[(times >= before) & (times < until)]
            time.append(np.repeat(due, len(whom)))
            who.append(np.tile(whom, len(due)))
        times, whom = np.concatenate(time), np.concatenate(who)
        order = np.argsort(times, kind="stable")
        yield lines(times[order], whom[order], whom[order] < ordinary)
        before = until
