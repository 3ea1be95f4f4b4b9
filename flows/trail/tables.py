"""All tables of a trail that is being written: each message that comes goes into its own, once."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from flows.connectors.archive_source import Came, later
from flows.connectors.unwrapping import Unwrap
from flows.formats.dead_letter import Body
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch
from flows.trail.incoming import Events, events, letters, records
from flows.trail.insights import Aggregates
from flows.trail.keys import KeyStore
from flows.trail.ledger import Ledger
from flows.trail.schema import KINDS
from flows.trail.trees import MOST
from flows.trail.writer import Writer
from models.event import DeadLetter

RAW, SCORED = "raw", "scored"
"""What comes as events: as the source sent them, or as Lapwing has scored them."""
DEAD: Final = "dead_letters"
EVENTS: Final = "events"
ALERTS: Final = "alerts"
_ORDER: Final = (DEAD, *(kind for kind in KINDS if kind not in (DEAD, EVENTS)), EVENTS)


class Tables:
    """The writers of a trail's tables.

    A message that is none of its kind becomes a dead letter. All that waits is committed together: dead letters
    first, events last, each table saying how far it has each source; what an interrupted commit has left undone is
    found when the source is read again from there.

    Parameters
    ----------
    keys : whose rows are sealed with.
    reading : what makes columns of messages, each in its format.
    unwrap : what takes events out of messages that carry several, None where each is one.
    body : how much of a dead letter is kept.
    most_trees : tenants with a tree of their own.
    ledger : what signs all that is committed.
    """

    def __init__(
        self,
        trail: str,
        keys: KeyStore,
        reading: Callable[[RawBatch], Decoded],
        body: Body,
        most_trees: int = MOST,
        ledger: Ledger | None = None,
        unwrap: Unwrap | None = None,
    ) -> None:
        self._ledger = ledger
        self._trail, self._keys, self._body, self._most = trail, keys, body, most_trees
        self._reading, self._unwrap = reading, unwrap
        self._writers: dict[str, Writer] = {}
        self.aggregates = Aggregates.open(trail, keys)
        self.counts: Counter[str] = Counter()
        self.event_time = 0
        self.commits = 0

    def writer(self, kind: str) -> Writer:
        """The writer of a kind's table, made when it is first asked for."""
        table = EVENTS if kind in (RAW, SCORED) else kind
        if table not in self._writers:
            self._writers[table] = Writer.open(self._trail, table, self._keys, self._most, self._ledger)
        return self._writers[table]

    def reached(self, kind: str, source: str) -> int:
        """The offset up to which a source is in its table."""
        return self.writer(kind).reached(source)[0]

    @property
    def rows(self) -> int:
        """Rows that wait for a commit."""
        return sum(writer.rows for writer in self._writers.values())

    def take(self, came: Came) -> None:
        """Take in messages of a log; those that are there already are passed over.

        Raises
        ------
        InputError
            A table cannot be read.
        OutputError
            The keys or a table cannot be written.
        """
        writer = self.writer(came.kind)
        raw = later(came.raw, writer.reached(came.source)[0])
        if raw is None:
            return
        if came.kind in (RAW, SCORED):
            dead: list[DeadLetter] = []
            for opened in self._opened(raw, came.kind):
                found = events(opened, self._reading, came.kind == SCORED)
                self._events(writer, came, found)
                dead += found.batch.dead
        else:
            made, dead = records(came.kind, raw)
            rows = writer.records(came.log, made)
            if came.kind == ALERTS:
                self.aggregates.alerts(came.source, rows, [one.message for one in made])
            self.counts[came.kind] += len(made)
        letters_after = self.writer(DEAD).reached(came.source) if dead else (-1, 0)
        fresh = [letter for letter in dead if (letter.offset, letter.index) > letters_after]
        if fresh:
            fresh.sort(key=lambda letter: (letter.offset, letter.index))  # the last says how far they are
            self.writer(DEAD).records(came.log, letters(fresh, self._body))
            self.writer(DEAD).move(came.source, (fresh[-1].offset, fresh[-1].index))
            self.counts[DEAD] += len(fresh)
        ends = [(int(raw.offset[-1]), int(raw.index[-1]))] if len(raw) else []
        ends += [(letter.offset, letter.index) for letter in raw.oversize[-1:]]
        writer.move(came.source, max(ends))

    def commit(self) -> None:
        """Append all that waits.

        Raises
        ------
        OutputError
            A table cannot be written; those before it have been.
        """
        self._keys.keep()  # first of all: whoever else has something to do with the keys waits for it
        self.aggregates.commit()
        for writer in self.writers():
            self.commits += writer.commit()

    def writers(self) -> list[Writer]:
        """The writers there are, in the order in which they commit."""
        return [self._writers[kind] for kind in _ORDER if kind in self._writers]

    def _opened(self, raw: RawBatch, kind: str) -> Iterator[RawBatch]:
        """The events of messages, piece by piece: a scored one is never wrapped."""
        if self._unwrap is None or kind == SCORED or not len(raw):
            yield raw
            return
        first = 0
        while first < len(raw):
            opened, first = self._unwrap(raw, first)
            yield opened

    def _events(self, writer: Writer, came: Came, found: Events) -> None:
        if len(found.batch):
            self.aggregates.events(came.source, writer.events(came.log, found), found.told)
            self.counts[EVENTS] += len(found.batch)
            self.event_time = max(self.event_time, int(found.batch.time.max()))
