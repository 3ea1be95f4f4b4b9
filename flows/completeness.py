"""Whether all has come, so that "no alert" and "no data" are told apart: gaps, duplicates, silence and lag."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.config import Config
from flows.connectors.output_directory import DEAD_LETTERS, SCORED
from flows.errors import InputError
from flows.format_block import by_topic, choice
from flows.formats.limits import Limits
from flows.formats.unwrap import pieces
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
Members = Callable[[dict[str, Any]], dict[str, Any]]


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
    """A partition of a topic of events. `lag` is what waits, None while nothing was ever read.

    `passed_over` offsets hold no committed record: markers of transactions, what was aborted or compacted, or a loss.
    `lost` were removed by retention before they were read.
    """

    topic: str
    partition: int
    messages: int = 0
    passed_over: int = 0
    gaps: list[Gap] = []
    lag: int | None = None
    lost: int = 0


class Completeness(msgspec.Struct, kw_only=True):
    """What came of what was sent. `missing` has a line for each thing that is: empty, nothing is known to be.

    `unscored` events were read and are neither a scored event nor a dead letter; None for files.
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
    """Counts scored events by tenant, in bounded memory: some 40 MB.

    `sequence` names the member of the source's object with their number; `members` gives an event's canonical members
    where it may have another format than `lapwing`, at ten times the cost.
    """

    def __init__(self, since_ms: int, until_ms: int, sequence: str = "", members: Members | None = None) -> None:
        self._since, self._until, self._sequence, self._members = since_ms, until_ms, sequence, members
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
            if self._members is not None:
                found = self._members(_ALL.decode(line))
                event = msgspec.structs.replace(event, id=found.get("id"), tenant=found.get("tenant"))
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


def of_topics(config: Config, tenants: Tenants, since_ms: int, until_ms: int, silence_s: float | None) -> Completeness:
    """What the topics of events, scored events and dead letters say, between two times of their records.

    Raises
    ------
    InputError
        A topic is missing, or no broker answers.
    """
    from flows.connectors.topic_span import TopicSpan

    block, own = config.kafka, {*by_topic(config.format)}
    wrapping = own if choice(config.input.format, config.format) is None else own | {block.topics.events}
    limits = Limits(max_message_bytes=config.input.max_message_bytes)
    partitions, read = list[Partition](), 0
    for topic in sorted(own | {block.topics.events}):
        found, events = _of_topic(block, topic, limits if topic in wrapping else None, since_ms, until_ms)
        partitions += found
        read += events
    count = 0
    with closing(TopicSpan(block, block.topics.scored)) as scored:
        for row in scored.rows(since_ms, until_ms):
            count += 1
            tenants.add(row.value)
    with closing(TopicSpan(block, block.topics.dead_letters)) as letters:
        dead = sum(1 for _ in letters.rows(since_ms, until_ms))
    return _made(tenants, dead, max(0, read - count - dead), partitions, silence_s)


def _of_topic(
    block: Kafka, topic: str, limits: Limits | None, since_ms: int, until_ms: int
) -> tuple[list[Partition], int]:
    """The partitions of a topic of events, and how many events the run has read of it.

    With `limits` a message may carry several events, as far as it is not too large.
    """
    from flows.connectors.topic_span import TopicSpan

    with closing(TopicSpan(block, topic)) as events:
        standing = events.standing()
        found = [Partition(topic=topic, partition=at) for at in range(len(standing))]
        read, last = 0, dict[int, int]()
        for row in events.rows(since_ms, until_ms):
            one, expected = found[row.partition], last.get(row.partition, row.offset - 1) + 1
            one.messages += 1
            if row.offset < standing[row.partition].committed:
                several = limits is not None and len(row.value) <= limits.max_message_bytes
                read += len(pieces(row.value, limits)) if several and limits else 1
            if row.offset > expected:
                one.passed_over += row.offset - expected
                one.gaps += [Gap(expected, row.offset - 1)] if len(one.gaps) < LISTED else []
            last[row.partition] = row.offset
    for one, at in zip(found, standing, strict=True):
        if at.committed >= 0:
            one.lag, one.lost = at.high - max(at.committed, at.low), max(0, at.low - at.committed)
    return found, read


def _made(
    tenants: Tenants, dead: int, unscored: int | None, partitions: Iterable[Partition], silence_s: float | None
) -> Completeness:
    found, places = tenants.end(), [*partitions]
    missing = [f"{one.topic}/{one.partition}: {one.lost} messages were removed unread" for one in places if one.lost]
    missing += [f"{unscored} events were read and are nowhere"] if unscored else []
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
