"""Simulated attacks mixed into the events of a run, and what a detection finds of them with one limit and another."""

import re
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from flows.compare import is_of
from flows.config import Config
from flows.connectors.output_directory import SCORED
from flows.detect import run
from flows.errors import InputError, Refused
from flows.format_block import members_of
from flows.formats.simulated import simulate
from flows.formats.source_formats import AUTO, LAPWING
from flows.formats.truth import Truth
from flows.recast import Range, relabelled
from flows.rethreshold import Rethreshold
from flows.tuning import Recall, index_of, recall
from models.simulation.attacks.plan import KINDS

_BEFORE: Final = b',"lapwing":{"v":1,'
_ADDED: Final = re.compile(rb',"lapwing":\{"v":1,"time":(-?\d+),')
_EVENTS_AN_ATTACK: Final = 8_000  # the simulation leaves attacks 15 % of its events
_ID: Final = re.compile(rb'"id":"([^"]*)"')


def simulated_recall(directory: str, config: Config, index: Rethreshold, limit: float, count: int, seed: int) -> Recall:
    """What a detection finds, now and with another limit, of attacks mixed into the events of a directory.

    The attacks are those that it should see, on the tenants, accounts and endpoints of the range, from addresses of the
    simulation (`flows.recast`). The events are those of `scored.ndjson`. Both go through the flow together, from
    nothing, as they did alone, so this takes as long as the run did.

    Raises
    ------
    Refused
        The simulation has no attack that the detection should see.
    InputError
        The directory has no scored events.
    """
    kinds = tuple(kind.name for kind in KINDS.values() if is_of(index.detection.id, kind.expected))
    if not kinds:
        raise Refused("the simulation has no attack that it should see")
    scored = Path(directory) / SCORED
    if not scored.is_file():
        raise InputError(f"{scored}: no such file, and attacks are mixed into its events; leave --attacks out")
    with scored.open("rb") as source:
        whom = Range(source, seed, members_of(config.input.format, config.format))
    lines, truth = attacks(index, kinds, count, seed, whom)
    with TemporaryDirectory() as place:
        mixed = Path(place) / "events.ndjson"
        with scored.open("rb") as source, mixed.open("wb") as out:
            out.writelines(merged(source, lines))
        # Simulated attacks are of format lapwing, whatever the events among which they are.
        read_as = LAPWING if config.input.format == LAPWING else AUTO
        run(config, str(mixed), f"{place}/out", None, False, read_as, threading.Event())
        return recall(index_of(f"{place}/out", config, index.detection), limit, truth)


def attacks(
    index: Rethreshold, kinds: tuple[str, ...], count: int, seed: int, whom: Range
) -> tuple[list[tuple[int, bytes]], list[Truth]]:
    """The events of simulated attacks on a range within the time of an index, as (epoch ms, line) by time, and their
    labels.
    """
    start = datetime.fromtimestamp(index.start * 60, tz=UTC)
    events = max(count * _EVENTS_AN_ATTACK, 20_000)
    chunks = simulate(events, seed, hours=24 * index.days, start=start, attacks=kinds, attack_count=count)
    waiting: dict[bytes, bytes] = {}
    lines: list[tuple[int, bytes]] = []
    truth: list[Truth] = []
    for chunk in chunks:
        for line in chunk.lines.splitlines(keepends=True):
            if found := _ID.search(line):
                waiting[found[1]] = line
        truth += chunk.truth
        for one in chunk.truth:
            lines += [(_ms(waiting[name.encode()]), waiting.pop(name.encode())) for name in one.events]
    lines.sort()
    before = [line for _, line in lines]
    after = [whom.recast(line) for line in before]
    times = (time for time, _ in lines)
    return list(zip(times, after, strict=True)), relabelled(truth, before, after)


def merged(scored: Iterable[bytes], lines: list[tuple[int, bytes]]) -> Iterator[bytes]:
    """Scored events as they came, without what was added to them, and other events among them by time."""
    at = 0
    for line in scored:
        found = _ADDED.match(line, line.rfind(_BEFORE))  # the last: a string of the event's own may look like it
        if found is None:
            raise InputError(f"{SCORED}: a line is no scored event")
        time = int(found[1])
        while at < len(lines) and lines[at][0] <= time:
            yield lines[at][1]
            at += 1
        yield line[: found.start()] + b"}\n"
    yield from (line for _, line in lines[at:])


def _ms(line: bytes) -> int:
    return round(datetime.fromisoformat(line[9:33].decode()).timestamp() * 1000)
