"""Whether all has come, so that "no alert" and "no data" are told apart: gaps, duplicates, silence and lag."""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.connectors.output_directory import DEAD_LETTERS, SCORED
from flows.errors import InputError
from flows.kafka_block import Kafka
from flows.result_lines import raw_lines

LISTED: Final = 20
"""So many gaps of a source are listed; all are counted."""
MOST_TENANTS: Final = 1_000
"""Those that come later are counted together, as `others`."""
OTHERS: Final = "others"
_WINDOW: Final = 200_000
"""So many ids, of all tenants, are remembered: a duplicate that comes later than that is not noticed."""
_AHEAD: Final = 10_000
"""So far out of order numbers may come before what lies between counts as missing."""
END_OF_TIME_MS: Final = 1 << 53


class Gap(msgspec.Struct, frozen=True):
    """Numbers that are missing, both ends among them."""

    first: int
    last: int


class Tenant(msgspec.Struct, kw_only=True):
    """The scored events of a tenant. Times are epoch ms of the events.

    `longest_silence_s` is the longest step of the newest event time, `silent_s` the time from its newest event to the
    newest of all. `missing` numbers of its sequence, None where none is known, are listed in part in `gaps`.
    """

    tenant: str
    events: int = 0
    duplicates: int = 0
    first: int = 0
    last: int = 0
    longest_silence_s: float = 0.0
    silent_s: float = 0.0
    missing: int | None = None
    gaps: list[Gap] = []


class Partition(msgspec.Struct, kw_only=True):
    """A partition of the topic of events. `lag` is what waits, None while nothing was ever read.

    `passed_over` offsets hold no committed record: markers of transactions, what was aborted or compacted, or a loss.
    `lost` were removed by retention before they were read.
    """

    partition: int
    messages: int = 0
    passed_over: int = 0
    gaps: list[Gap] = []
    lag: int | None = None
    lost: int = 0


class Completeness(msgspec.Struct, kw_only=True):
    """What came of what was sent. `missing` has a line for each thing that is: empty, nothing is known to be.

    `unscored` messages were read and are neither a scored event nor a dead letter; None for files.
    """

    events: int
    dead_letters: int
    unscored: int | None
    tenants: list[Tenant]
    partitions: list[Partition]
    missing: list[str]


class Sequence:
    """Which numbers of a sequence are missing, whatever the order within bounds.

    >>> numbers = Sequence()
    >>> for number in (5, 7, 6, 9, 8, 12): numbers.add(number)
    >>> numbers.end(), numbers.gaps
    (2, [Gap(first=10, last=11)])
    """

    def __init__(self, ahead: int = _AHEAD) -> None:
        self.missing, self.gaps = 0, list[Gap]()
        self._next: int | None = None
        self._ahead: set[int] = set()
        self._most = ahead

    def add(self, number: int) -> None:
        """Take a number; one that has been is passed over."""
        if self._next is None:
            self._next = number
        if number < self._next:
            return
        self._ahead.add(number)
        self._go_on()
        if len(self._ahead) > self._most:
            self._pass()

    def end(self) -> int:
        """There are no more: how many are missing."""
        while self._ahead:
            self._pass()
        return self.missing

    def _go_on(self) -> None:
        while self._next in self._ahead:
            self._ahead.remove(self._next)
            self._next += 1

    def _pass(self) -> None:
        """What lies before the next that has come is missing."""
        assert self._next is not None
        least = min(self._ahead)
        self.missing += least - self._next
        if len(self.gaps) < LISTED:
            self.gaps.append(Gap(self._next, least - 1))
        self._next = least
        self._go_on()


class _Own(msgspec.Struct):
    time: int


class _Event(msgspec.Struct):
    lapwing: _Own
    id: Any = None
    tenant: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_ALL: Final = msgspec.json.Decoder(dict[str, Any])


class Tenants:
    """Counts scored events by tenant, in bounded memory: some 40 MB. `sequence` names the member with their number."""

    def __init__(self, since_ms: int, until_ms: int, sequence: str = "") -> None:
        self._since, self._until, self._sequence = since_ms, until_ms, sequence
        self._found: dict[str, Tenant] = {}
        self._numbers: dict[str, Sequence] = {}
        self._ids: OrderedDict[bytes, None] = OrderedDict()
        self.events = 0

    def add(self, line: bytes) -> None:
        """Take a scored event; what is none is an error.

        Raises
        ------
        InputError
            It is none.
        """
        try:
            event = _EVENT.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"among the scored events is a line that is none ({error})") from error
        now = event.lapwing.time
        if not self._since <= now < self._until:
            return
        self.events += 1
        name = event.tenant if isinstance(event.tenant, str) and event.tenant else "default"
        name = name if name in self._found or len(self._found) < MOST_TENANTS else OTHERS
        one = self._found.setdefault(name, Tenant(tenant=name, first=now, last=now))
        one.events += 1
        one.first = min(one.first, now)
        if now > one.last:
            one.longest_silence_s = max(one.longest_silence_s, (now - one.last) / 1000)
            one.last = now
        if event.id is not None:
            one.duplicates += self._again(f"{name}\0{event.id}")
        if self._sequence:
            number = _ALL.decode(line).get(self._sequence)
            if isinstance(number, int) and not isinstance(number, bool):
                self._numbers.setdefault(name, Sequence()).add(number)

    def end(self) -> list[Tenant]:
        """The tenants by name."""
        newest = max((one.last for one in self._found.values()), default=0)
        for name, one in self._found.items():
            one.silent_s = (newest - one.last) / 1000
            if name in self._numbers:
                one.missing, one.gaps = self._numbers[name].end(), self._numbers[name].gaps
        return [self._found[name] for name in sorted(self._found)]

    def _again(self, text: str) -> bool:
        key = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        if key in self._ids:
            self._ids.move_to_end(key)
            return True
        self._ids[key] = None
        if len(self._ids) > _WINDOW:
            self._ids.popitem(last=False)
        return False


def of_directory(directory: str | Path, tenants: Tenants, silence_s: float | None) -> Completeness:
    """What a folder of results says. Dead letters bear no time, so all of them count.

    Raises
    ------
    InputError
        There are no results.
    """
    path = Path(directory) / SCORED
    if not path.is_file():
        raise InputError(f"{path}: no such file; `lapwing detect --output {directory}` writes it")
    for line in raw_lines(path):
        tenants.add(line)
    dead = Path(directory) / DEAD_LETTERS
    letters = sum(1 for _ in raw_lines(dead)) if dead.is_file() else 0
    return _made(tenants, letters, None, [], silence_s)


def of_topics(block: Kafka, tenants: Tenants, since_ms: int, until_ms: int, silence_s: float | None) -> Completeness:
    """What the topics of events, scored events and dead letters say, between two times of their records.

    Raises
    ------
    InputError
        A topic is missing, or no broker answers.
    """
    from flows.connectors.topic_span import TopicSpan

    events = TopicSpan(block, block.topics.events)
    try:
        standing = events.standing()
        found = [Partition(partition=at) for at in range(len(standing))]
        read, last = 0, dict[int, int]()
        for row in events.rows(since_ms, until_ms):
            one, expected = found[row.partition], last.get(row.partition, row.offset - 1) + 1
            one.messages += 1
            read += row.offset < standing[row.partition].committed
            if row.offset > expected:
                one.passed_over += row.offset - expected
                one.gaps += [Gap(expected, row.offset - 1)] if len(one.gaps) < LISTED else []
            last[row.partition] = row.offset
    finally:
        events.close()
    for one, at in zip(found, standing, strict=True):
        if at.committed >= 0:
            one.lag, one.lost = at.high - max(at.committed, at.low), max(0, at.low - at.committed)
    scored = TopicSpan(block, block.topics.scored)
    count = 0
    try:
        for row in scored.rows(since_ms, until_ms):
            count += 1
            tenants.add(row.value)
    finally:
        scored.close()
    letters = TopicSpan(block, block.topics.dead_letters)
    try:
        dead = sum(1 for _ in letters.rows(since_ms, until_ms))
    finally:
        letters.close()
    return _made(tenants, dead, max(0, read - count - dead), found, silence_s)


def _made(
    tenants: Tenants, dead: int, unscored: int | None, partitions: Iterable[Partition], silence_s: float | None
) -> Completeness:
    found, places = tenants.end(), [*partitions]
    missing = [f"partition {one.partition}: {one.lost} messages were removed unread" for one in places if one.lost]
    missing += [f"{unscored} messages were read and are nowhere"] if unscored else []
    missing += [f"tenant {one.tenant}: {one.missing} of its sequence are missing" for one in found if one.missing]
    if silence_s is not None:
        missing += [
            f"tenant {one.tenant}: silent for {one.silent_s:.0f} s" for one in found if one.silent_s > silence_s
        ]
    if not tenants.events:
        missing.append("no event at all: no data, not no alert")
    return Completeness(
        events=tenants.events, dead_letters=dead, unscored=unscored, tenants=found, partitions=places, missing=missing
    )
