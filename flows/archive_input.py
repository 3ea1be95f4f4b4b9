"""What `lapwing archive` reads: which logs an input has, and of what kind each is."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from flows.config import Config
from flows.connectors.archive_source import FileLog, Part, TopicLog, WindowLog, file_size
from flows.connectors.file_tree import STDIN, find_files
from flows.connectors.kafka_client import missing, topics
from flows.connectors.kafka_offsets import offsets
from flows.connectors.kafka_reader import Place
from flows.connectors.output_directory import ACTIONS, ALERTS, DEAD_LETTERS, SCORED, SUPPRESSED, WINDOWS
from flows.errors import InputError, UsageError
from flows.kafka_block import EARLIEST, END, LATEST, Kafka
from flows.trail.tables import RAW

FILES: Final = {
    SCORED: "scored", ALERTS: "alerts", SUPPRESSED: "alerts", WINDOWS: "windows", DEAD_LETTERS: "dead_letters",
    ACTIONS: "actions", "verdicts.ndjson": "verdicts",
}  # fmt: skip
"""The files of results, and what kind of records each has."""
TOPICS: Final = {
    "scored": "scored", "alerts": "alerts", "suppressed": "alerts", "windows": "windows",
    "dead_letters": "dead_letters", "actions": "actions", "verdicts": "verdicts",
}  # fmt: skip
"""The keys of the topics of results, likewise."""
_OPTIONAL: Final = ("verdicts",)
_SURE_S: Final = 2.0
_BATCHES: Final = 2
"""What is read at a time, in batches of the live flow: keys of new people become durable together."""
_LONGEST: Final = 1 << 23
"""Bytes of a result: more than any that Lapwing writes."""


@dataclass(slots=True, frozen=True)
class Parts:
    """The logs of an input; `size` in bytes where it is known; `passed_over` are files that are none."""

    parts: tuple[Part, ...]
    size: int | None = None
    passed_over: tuple[str, ...] = ()


def check_places(path: str, trail: str, keys: Path) -> None:
    """Refuse places that lie in each other.

    Raises
    ------
    UsageError
        The keys lie in the trail, or one of both in what is to be read.
    """
    if "://" not in trail and _inside(str(keys), trail):
        raise UsageError(f"the keys {keys} lie inside the trail {trail}: they must lie apart from it, and its backups")
    for name, place in (("trail", trail), ("keys", str(keys))):
        if "://" not in place and os.path.isdir(path) and _inside(place, path):
            raise UsageError(f"the {name} {place} lies inside the input {path}, so a next run would read it")


def from_files(config: Config, path: str, raw: bool) -> Parts:
    """The logs of a file, a directory or standard input: each file is one, named by its path from the input.

    In a directory that `lapwing detect` has written to, the results and nothing else; in any other, and with `raw`
    everywhere, all files are events as their source sent them.

    Raises
    ------
    InputError
        There is nothing to read, or something unreadable among it.
    """
    if not raw and os.path.isdir(path) and (there := [name for name in FILES if (Path(path) / name).is_file()]):
        found = [(FILES[name], name, os.path.join(path, name)) for name in there]
        return _files(config, found)
    if not raw and path != STDIN and os.path.isfile(path) and (kind := FILES.get(_unpacked(os.path.basename(path)))):
        return _files(config, [(kind, os.path.basename(path), path)])
    tree = find_files(path)
    found = [
        (RAW, name if partition in (".", name) else f"{partition}/{name}", tree.path(partition, name))
        for partition, names in tree.files.items()
        for name in names
    ]
    return _files(config, found, tree.ignored)


def from_topics(config: Config, raw: bool, ending: threading.Event, tell: Callable[[str], None]) -> Parts:
    """The logs of the topics of results, with `raw` of the topic of events: each partition is one.

    Each is read from its beginning at first (or where `start` says), later from where the trail has it. `ending` is
    set when a topic has got more partitions, so that the run ends in good order and begins again with them.

    Raises
    ------
    InputError
        No broker answers, or a topic is not there; that of verdicts need not be.
    """
    block = msgspec.structs.replace(config.kafka, application=f"{config.kafka.application[:80]}-archive")
    wanted = {"events": RAW} if raw else TOPICS
    names = {getattr(block.topics, key): kind for key, kind in wanted.items()}
    found = topics(block, names)
    optional = {getattr(block.topics, key) for key in _OPTIONAL}
    if lacking := [name for name in names if name not in found and name not in optional]:
        raise InputError(missing(lacking))
    growth = _Growth({topic.name: topic.partitions for topic in found.values()}, ending, tell)
    share = 1 / max(1, sum(topic.partitions for topic in found.values()))
    parts: list[Part] = []
    for topic in found.values():
        starts, ends = _bounds(block, topic.name, range(topic.partitions))
        for number in range(topic.partitions):
            place = Place(topic.name, topic.id, number)
            make = partial(
                TopicLog, names[topic.name], block, place, starts[number], rows=_BATCHES * config.input.batch_rows,
                max_bytes=_LONGEST, until=ends.get(number, -1), share=share, tell=tell, on_count=growth.hear,
            )  # fmt: skip
            parts.append(Part(names[topic.name], place.name, make))
    return Parts(tuple(parts))


def _bounds(block: Kafka, topic: str, numbers: range) -> tuple[dict[int, int], dict[int, int]]:
    """Where partitions are begun that the trail does not have, and where they are read to."""
    starts = offsets(block, topic, numbers, block.start or EARLIEST)
    if not block.until:
        return starts, {}
    return starts, offsets(block, topic, numbers, LATEST if block.until == END else block.until)


class _Growth:
    """Hears how many partitions topics have; brokers learn of new ones one by one, so it must be said for a while."""

    def __init__(self, known: dict[str, int], ending: threading.Event, tell: Callable[[str], None]) -> None:
        self._known, self._ending, self._tell = known, ending, tell
        self._heard: dict[str, float] = {}

    def hear(self, topic: str, count: int) -> None:
        """How many partitions a topic has now."""
        if count <= self._known[topic]:
            self._heard.pop(topic, None)
            return
        since = self._heard.setdefault(topic, time.monotonic())
        if time.monotonic() - since >= _SURE_S and not self._ending.is_set():
            self._tell(f"topic {topic} has {count} partitions now: beginning again with all of them")
            self._ending.set()


def _files(config: Config, found: list[tuple[str, str, str]], passed_over: tuple[str, ...] = ()) -> Parts:
    parts: list[Part] = []
    for kind, log, path in found:
        if kind == "windows" and path.endswith(".parquet"):
            parts.append(Part(kind, log, partial(WindowLog, kind, log, path)))
        else:
            most = config.input.max_message_bytes if kind == RAW else _LONGEST
            opened = partial(FileLog, kind, log, path, rows=_BATCHES * config.input.batch_rows, max_message_bytes=most)
            parts.append(Part(kind, log, opened))
    return Parts(tuple(parts), file_size([path for _, _, path in found]), passed_over)


def _inside(place: str, folder: str) -> bool:
    inside = os.path.realpath(folder)
    return os.path.commonpath([inside, os.path.realpath(place)]) == inside


def _unpacked(name: str) -> str:
    """A file's name without what says that it is compressed."""
    return name.removesuffix(".gz").removesuffix(".zst")
