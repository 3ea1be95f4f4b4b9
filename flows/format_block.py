"""The blocks `[[format]]`, and which format the messages of an input have by them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from flows.format_base import FormatBlock
from flows.formats.mapped import Choice
from flows.formats.source_formats import AUTO, FORMATS, LAPWING
from flows.kafka_block import EXPECTED_TOPIC, is_topic
from flows.mapping_block import MappingBlock
from flows.structure import meant, shown, structure

__all__ = ("BLOCKS", "FormatBlock", "by_topic", "choice", "format_faults", "formats", "names")

_MOST_BLOCKS: Final = 64


BLOCKS: Final[dict[str, type[FormatBlock]]] = {**{one.type: FormatBlock for one in FORMATS}, "mapping": MappingBlock}
"""The block of each type. A type that has keys of its own has a block of its own."""


def formats(rows: object, faults: list[str]) -> tuple[FormatBlock, ...]:
    """The blocks from their tables, the id of each its type where none is given; what is wrong is told in `faults`."""
    if not isinstance(rows, list):
        faults.append(f"Expected a list of tables, written [[format]], got {shown(rows)} - at $.format")
        return ()
    if len(rows) > _MOST_BLOCKS:
        faults.append(f"Expected at most {_MOST_BLOCKS} formats, got {len(rows)} - at $.format")
        return ()
    made: list[FormatBlock] = []
    ids: dict[str, str] = dict.fromkeys((LAPWING, AUTO), "a name of Lapwing's own")
    topics: dict[str, str] = {}
    for at, row in enumerate(rows):
        place = f"$.format[{at}]"
        if not isinstance(row, Mapping):
            faults.append(f"Expected a table, got {shown(row)} - at {place}")
            continue
        name = row.get("type")
        if not isinstance(name, str) or name not in BLOCKS:
            told = f"Unknown type {shown(name)}{meant(str(name), BLOCKS)}" if "type" in row else _missing()
            faults.append(f"{told} - at {place}{'.type' if 'type' in row else ''}")
            continue
        block = structure(BLOCKS[name], row, place, faults)
        block = msgspec.structs.replace(block, type=name, id=block.id or name)
        faults += block.faults(place)
        if not _is_id(block.id):
            faults.append(f"Expected 1 to 64 letters, digits, _, - or ., got {shown(block.id)} - at {place}.id")
        elif block.id in ids:
            faults.append(f"{shown(block.id)} is {ids[block.id]} - at {place}.id")
        ids.setdefault(block.id, f"also the id of {place}")
        for topic in block.topics:
            if topic in topics:
                faults.append(f"{shown(topic)} has the format of {topics[topic]} - at {place}.topics")
            topics.setdefault(topic, place)
        made.append(block)
    return tuple(made)


def _missing() -> str:
    return f"Missing key type (known: {', '.join(BLOCKS)})"


def _is_id(text: str) -> bool:
    return 1 <= len(text) <= 64 and text.isascii() and all(c.isalnum() or c in "_-." for c in text)


def names(blocks: tuple[FormatBlock, ...]) -> tuple[str, ...]:
    """Every name that `[input] format` may have."""
    return tuple(dict.fromkeys((LAPWING, AUTO, *(one.type for one in FORMATS), *(block.id for block in blocks))))


def format_faults(name: str, blocks: tuple[FormatBlock, ...], topics: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with the name of a format, with all that there are; and with the topics that are read.

    `topics` are those of the results, by their key.
    """
    known = names(blocks)
    taken = {topic: key for key, topic in (topics or {}).items()}
    faults = []
    for at, block in enumerate(blocks):
        for one in block.topics:
            if one in taken:
                faults.append(f"{shown(one)} is the topic of {taken[one]} - at $.format[{at}].topics")
            elif not is_topic(one):
                faults.append(f"{EXPECTED_TOPIC}, got {shown(one)} - at $.format[{at}].topics")
    if name not in known:
        faults.append(f"Expected a format (known: {', '.join(known)}), got {shown(name)} - at $.input.format")
    return faults


def choice(name: str, blocks: tuple[FormatBlock, ...]) -> Choice | None:
    """The formats that messages may have, None where all are of format `lapwing`."""
    if name == LAPWING:
        return None
    if name == AUTO:
        own = {block.type for block in blocks}
        return Choice((*(block.made() for block in blocks), *(one for one in FORMATS if one.type not in own)))
    made = next((block.made() for block in blocks if block.id == name), None)
    return Choice((made or next(one for one in FORMATS if one.type == name),), fixed=True)


def members_of(name: str, blocks: tuple[FormatBlock, ...]) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """What gives the canonical members of what a scored event's source said, None where all are of format `lapwing`.

    Scored events of all topics lie together: the format of a topic with one of its own is known by its look, else the
    input's counts.
    """
    usual, own = choice(name, blocks), Choice(tuple(block.made() for block in blocks if block.topics))
    if usual is None and not own.formats:
        return None

    def members(record: dict[str, Any]) -> dict[str, Any]:
        found = own.of(record) or (None if usual is None else usual.of(record))
        return record if found is None else found.event(record)

    return members


def by_topic(blocks: tuple[FormatBlock, ...]) -> dict[str, Choice]:
    """The format of each topic that has one of its own."""
    return {topic: Choice((block.made(),), fixed=True) for block in blocks for topic in block.topics}


def unread(name: str, blocks: tuple[FormatBlock, ...]) -> list[str]:
    """What to say of blocks that nothing is read as.

    >>> unread("lapwing", (MappingBlock(id="idp"), MappingBlock(id="gate", topics=("gate",))))
    ['format idp: declared, but nothing is read as it; name it with --format or in [input] format, or give it topics']
    """
    how = "declared, but nothing is read as it; name it with --format or in [input] format, or give it topics"
    never = "auto does not choose it; say in its when what auto recognises it by"
    chosen = {block.id for block in blocks if name in (block.id, AUTO)}
    odd = {block.id for block in blocks if name == AUTO and isinstance(block, MappingBlock) and not block.when}
    return [
        f"format {block.id}: {never if block.id in odd else how}"
        for block in blocks
        if not block.topics and (block.id not in chosen or block.id in odd)
    ]


def read_as(name: str, blocks: tuple[FormatBlock, ...]) -> dict[str, Any]:
    """What is read as what: the input's format, the types it stands for, and the format of each topic with its own."""
    found = choice(name, blocks)
    return {
        "format": name,
        "reads": [LAPWING] if found is None else [one.type for one in found.formats],
        "topics": {topic: block.id for block in blocks for topic in block.topics},
    }
