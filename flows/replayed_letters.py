"""Dead letters back into the topic that they came from: the records themselves, read again where they stand."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from flows.connectors.kafka_again import Again, Once, records_at
from flows.connectors.kafka_client import missing, topics
from flows.connectors.kafka_topic import records, values
from flows.dead_letters import Letter, Replayed, Wanted, marks_of, read_letter, same
from flows.errors import InputError
from flows.formats.limits import Limits
from flows.formats.unwrap import pieces
from flows.kafka_block import Kafka
from flows.verdicts import Operation, encode, key, read_records

HEADER: Final = "lapwing-replay"
"""The header that says which letter a record was."""
_AT_ONCE: Final = 500
"""Letters in one transaction."""


def letters_of(block: Kafka) -> Iterator[Letter]:
    """The letters of the topic of dead letters, one partition after the other.

    Raises
    ------
    InputError
        There is no such topic, or a record is no letter.
    """
    for record in records(block, block.topics.dead_letters):
        kind, at = record.timestamp()
        if (value := record.value()) is not None:
            yield read_letter(value, at if kind and at >= 0 else None, by_topic=True)


def replay(block: Kafka, wanted: Wanted, said: Callable[[str, tuple[str, ...]], Operation]) -> Replayed:
    """Produce the messages of letters anew into the topics that they came from, each once.

    A message is read again where it stood; where retention has removed it, the letter's body serves if it is whole.
    Messages and the note that they were put back, in the topic of verdicts, are one transaction, whose id is the same
    for all: of two replays at a time one fails, and none puts back what the other has. `said(uid, marks)` makes the
    note.

    Raises
    ------
    InputError
        A topic is missing, or brokers do not answer.
    OutputError
        A transaction failed: what it had put back is not seen by whoever reads what is committed.
    """
    noted = block.topics.verdicts
    if lacking := {noted} - topics(block, [noted]).keys():
        raise InputError(missing(lacking))
    writer = Once(block, "replay")  # who began before fails from now on, so what is noted now is all
    marks = marks_of(read_records(values(block, noted))[1])
    done, chosen = Replayed(where=f"topic {block.topics.events}"), list[Letter]()
    for letter in letters_of(block):
        if not wanted.has(letter):
            continue
        if letter.mark in marks:
            done.before += 1
        elif letter.stage != "decode":
            done.scored += 1
        else:
            marks.add(letter.mark)
            chosen.append(letter)
    for at in range(0, len(chosen), _AT_ONCE):
        some = chosen[at : at + _AT_ONCE]
        found = dict(_restored(block, some))
        done.lost += len(some) - len(found)
        if found:
            note = said(uuid.uuid4().hex, (*found,))
            writer.write([*found.values(), Again(noted, encode(note), key(note))])
            done.put_back += len(found)
    return done


def _restored(block: Kafka, letters: Sequence[Letter]) -> Iterator[tuple[str, Again]]:
    """The messages of letters as they were, by the letters' marks, as far as they can be had."""
    there = topics(block, {letter.topic for letter in letters})
    by_partition: dict[tuple[str, int], list[Letter]] = defaultdict(list)
    for letter in letters:
        known = there.get(letter.topic)
        if known is not None and letter.partition.isdecimal() and int(letter.partition) < known.partitions:
            by_partition[letter.topic, int(letter.partition)].append(letter)
    for (topic, partition), mine in by_partition.items():
        found = records_at(block, topic, partition, sorted({letter.offset for letter in mine}))
        for letter in mine:
            if (one := _whole(letter, found.get(letter.offset))) is not None:
                yield letter.mark, one


def _whole(letter: Letter, record: Any) -> Again | None:
    """The message of a letter: the record, one event of it, or what the letter itself has kept whole."""
    if record is not None:
        value = record.value() or b""
        # An event that came in an envelope goes back by itself: its neighbours were scored.
        for one in (value, *(piece for piece in pieces(value, Limits()) if isinstance(piece, bytes))):
            if (message := same(letter, one)) is not None:
                return _again(letter, message, record.key(), record.headers() or [])
    message = letter.original()
    return None if message is None else _again(letter, message, letter.kept_key(), letter.kept_headers())


def _again(letter: Letter, message: bytes, name: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Again:
    marked = [*headers, (HEADER, letter.id.encode())]
    return Again(letter.topic, message, name, int(letter.partition), marked)
