"""Records written after templates are what the format's own `event` makes of them, whatever stands in them."""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from benchmarks.rendered import RENDERERS
from flows.formats.raw import raw_batch
from flows.formats.reads import LAST, ONLY, Reads
from flows.formats.simulated import simulate
from flows.formats.source_format import SourceFormat
from flows.formats.source_formats import FORMATS
from flows.formats.templates import Templates
from flows.formats.unwrap import wrapper
from tests.test_formats import FILES, RECORDS

POOL: Final[tuple[Any, ...]] = (
    "", "unknown", "UNKNOWN", "Sam@Example.com", "u-1", "Ä@x.example", "\uff35nknown", 'say "no"', "Z", "x" * 1100,
    "2026-11-23T05:00:00Z", "2026-11-23 05:00:00", "2026-11-23T05:00:00.5+01:00", "2026-11-23T05:00:00-05:00",
    "00000000-0000-0000-0000-000000000000", "User", "login", "Lw0003Q~z", "73510004",
    0, 0.0, -0.0, 7, -3, 1.5, 1e300, 10**15, 2**63, 73_510_004, True, False, None, {}, [], [1], ["a"], {"a": 1}, [{}],
)  # fmt: skip
"""Values of every kind that the templates tell apart, and such as look like their stand-ins."""
READ: Final = [one for one in FORMATS if one.reads is not None]


def ways(record: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a record."""
    if way:
        yield way
    steps = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for step, inner in steps:
        yield from ways(inner, (*way, step))


def put(record: Any, way: tuple[Any, ...], value: Any) -> None:
    """Put a value somewhere, where there is a way to it; `...` takes it away."""
    for step, following in pairwise(way):
        inner: Any = [] if isinstance(following, int) else {}
        if isinstance(record, list):
            if not isinstance(step, int):
                return
            if not record:
                record.append(inner)
            record = record[min(step, len(record) - 1)]
        elif isinstance(record, dict):
            record = record.setdefault(step, inner)
        else:
            return
    last = way[-1]
    if isinstance(record, dict) and isinstance(last, str):
        if value is ...:
            record.pop(last, None)
        else:
            record[last] = value
    elif isinstance(record, list) and isinstance(last, int) and value is not ...:
        record[-1:] = [value]


def declared(reads: Reads) -> list[tuple[Any, ...]]:
    every = (*reads.carried, *reads.times, *reads.decisive, *reads.refused)
    return [tuple(-1 if step in (LAST, ONLY) else step for step in path) for path in every]


def varied(records: list[dict[str, Any]], reads: Reads, count: int, seed: int) -> list[dict[str, Any]]:
    """Records with a few values changed, and of each some more in which only what is passed on differs."""
    drawn = random.Random(seed)
    passed = [tuple(-1 if step in (LAST, ONLY) else step for step in path) for path in (*reads.carried, *reads.times)]
    out = []
    for _ in range(count):
        one = copy.deepcopy(drawn.choice(records))
        for _ in range(drawn.randint(0, 3)):
            put(one, drawn.choice([*declared(reads), *ways(one)]), drawn.choice((*POOL, ...)))
        for number in range(4):
            out.append(copy.deepcopy(one))
            for way in drawn.sample(passed, 3):
                if way in set(ways(one)):
                    put(out[-1], way, drawn.choice((f"Value{number}", f"value-{number}@Example.com", *POOL)))
    return out


def swept(records: list[dict[str, Any]], reads: Reads) -> list[dict[str, Any]]:
    """Each record twice, so that it has a template, and then with every value changed to each of the pool, or taken."""
    out = []
    for record in records:
        out += [record, record]
        for way in dict.fromkeys([*ways(record), *declared(reads)]):
            for value in (*POOL, ...):
                one = copy.deepcopy(record)
                put(one, way, value)
                out.append(one)
    return out


def written(form: SourceFormat, records: list[dict[str, Any]]) -> tuple[int, int]:
    """How many of the records templates write, all as `event` does; and of how many."""
    assert form.reads is not None
    templates = Templates(form, form.reads)
    lines = [msgspec.json.encode(record) for record in records]
    read = [msgspec.json.decode(line) for line in lines]
    raw = raw_batch("", lines)
    rows, extent = np.arange(len(lines)), raw.length.astype(np.int32)
    for _ in range(2):
        found = templates.write(raw.buffer, raw.start, extent, rows)
        for record, signature in zip(read, found.signatures, strict=True):
            templates.learn(signature, record, form.event(record))
    found = templates.write(raw.buffer, raw.start, extent, rows)
    begins = np.concatenate(([0], found.ends[:-1]))
    for row in np.flatnonzero(found.done).tolist():
        line = found.lines[begins[row] : found.ends[row]].tobytes()
        made = msgspec.json.decode(line)
        expected = msgspec.json.decode(msgspec.json.encode(form.event(read[row])))
        assert json.dumps(made) == json.dumps(expected), lines[row]
    return int(found.done.sum()), len(records)


def samples(form: SourceFormat) -> list[dict[str, Any]]:
    """Golden records of a format, and simulated ones."""
    chunk = next(iter(simulate(200, seed=1, hours=0.1)))
    simulated = [RENDERERS[form.type](msgspec.json.decode(line)) for line in chunk.lines.splitlines()]
    records = [RECORDS[path] for path in FILES if path.parent.name == form.type] + simulated[:40]
    return [record["data"] if wrapper(record) == "data" else record for record in records]


@pytest.mark.parametrize("form", READ, ids=lambda one: one.type)
def test_templates_write_what_the_format_itself_would(form: SourceFormat) -> None:
    assert form.reads is not None
    records = samples(form)
    done, count = written(form, varied(records, form.reads, 150, seed=1))
    assert done > count / 5
    written(form, swept(records[:: max(1, len(records) // 3)][:3], form.reads))


@pytest.mark.parametrize("form", READ, ids=lambda one: one.type)
def test_the_sweep_finds_what_a_format_does_not_say(form: SourceFormat) -> None:
    """The test above can fail: where paths that decide are not declared, templates write something else."""
    assert form.reads is not None

    class Careless:
        reads = replace(form.reads, decisive=())

        def __getattr__(self, name: str) -> Any:
            return getattr(form, name)

    with pytest.raises(AssertionError):
        written(Careless(), swept(samples(form)[-2:], form.reads))
