"""Records written after templates are what the format's own `event` makes of them, whatever stands in them."""

import copy
import json
import random
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from benchmarks.rendered import MAPPING, RENDERERS
from flows.format_block import formats
from flows.formats.blank import Blanking
from flows.formats.raw import raw_batch
from flows.formats.reads import Reads, place
from flows.formats.simulated import simulate
from flows.formats.source_format import SourceFormat
from flows.formats.source_formats import FORMATS
from flows.formats.templates import Templates
from flows.formats.unwrap import wrapper
from tests.test_formats import FILES, RECORDS

POOL: Final[tuple[Any, ...]] = (
    "", "unknown", "UNKNOWN", "Sam@Example.com", "u-1", "Ä@x.example", "\uff35nknown", 'say "no"', "Z", "x" * 1100,
    "2026-11-23T05:00:00Z", "2026-11-23 05:00:00", "2026-11-23T05:00:00.5+01:00", "2026-11-23T05:00:00-05:00",
    "00000000-0000-0000-0000-000000000000", "User", "login", "Lw0003Q~z", "73510004", "1795409999871", "17954099",
    "2026-02-29T05:00:00Z", "203.0.113.7", "fe80::1", "ec2.amazonaws.com", "ASIA1", "AKIA1", 1795409999871, 1795409999,
    "No username found in supplied account", "HIDDEN_DUE_TO_SECURITY_REASONS", "0123456789", "2026-11-23",
    0, 0.0, -0.0, 7, -3, 1.5, 1e300, 10**15, 2**63, 73_510_004, True, False, None, {}, [], [1], ["a"], {"a": 1}, [{}],
)  # fmt: skip
"""Values of every kind that the templates tell apart, and such as look like their stand-ins."""
ODD: Final = """
[[format]]
type = "mapping"
id = "odd"
[format.member]
time = [{ path = "at", format = "rfc3339" }, { path = "ts", format = "epoch_ms" }, { path = "ts" }]
received = { path = "got", format = "epoch_s" }
action = { path = "what.kind", table = { IN = "login", "7" = "logout", true = "register" }, default = "other" }
outcome = { path = "ok[1]", table = { true = "success", false = "failure" } }
user = ["who.id", "who.names[0]", "who"]
username = "who.names[1].text"
tenant = { constant = "acme" }
ip = "net[0]"
asn = "net[2]"
status = "code"
device = ["tags[*].id", "tags"]
app = "mails[-1]"
endpoint = { path = "way", default = "/" }
changes = { path = "diff", each = { path = "f", new = "to" } }
"""
"""A declared mapping with all that templates can write, and all that they leave."""
ODD_RECORDS: Final[list[dict[str, Any]]] = [
    {
        "at": "2026-11-23T05:00:00.5Z", "got": 1795410000, "what": {"kind": "IN"}, "ok": [None, True], "code": 401,
        "who": {"id": 17, "names": ["sam", {"text": "Sam@x"}]}, "net": ["203.0.113.7", "x", 64511], "way": "/a",
    },
    {
        "ts": "1795410000871", "got": "1795410000", "what": {"kind": 7}, "ok": [5, False], "who": "u-1", "code": "200",
        "net": [], "diff": [{"f": "mail", "to": "x"}], "tags": [{"id": "t"}], "mails": ["a", "b"],
    },
]  # fmt: skip


def mapping(text: str) -> SourceFormat:
    (block,) = formats(tomllib.loads(text)["format"], faults := list[str]())
    assert faults == []
    return block.made()


READ: Final = [*FORMATS, mapping(MAPPING), mapping(ODD)]


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
            record += [copy.deepcopy(inner) for _ in range(max(step, 0) + 1 - len(record))]
            record = record[step]
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
        record += [None] * (max(last, 0) + 1 - len(record))
        record[last] = value


def way_of(path: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(step if (at := place(step)) is None else at for step in path)


def passed_on(reads: Reads) -> list[tuple[Any, ...]]:
    return [*map(way_of, (*reads.carried, *reads.times, *reads.addresses))]


def declared(reads: Reads) -> list[tuple[Any, ...]]:
    return [*passed_on(reads), *map(way_of, (*reads.decisive, *reads.refused))]


def varied(records: list[dict[str, Any]], reads: Reads, count: int, seed: int) -> list[dict[str, Any]]:
    """Records with a few values changed, and of each some more in which only what is passed on differs."""
    drawn = random.Random(seed)
    passed = passed_on(reads)
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


def written(form: SourceFormat, reads: Reads, records: list[dict[str, Any]]) -> tuple[int, list[bytes]]:
    """How many of the records templates write, and those that they write in another way than `event`."""
    templates = Templates(form, reads)
    lines = [msgspec.json.encode(record) for record in records]
    read = [msgspec.json.decode(line) for line in lines]
    raw = raw_batch("", lines)
    buffer, blanking = raw.buffer.copy(), Blanking(form.secrets)
    rows, extent = np.arange(len(lines)), raw.length.astype(np.int32)
    events = [form.event(record) for record in read]
    expected = [msgspec.json.encode(event) for event in events]
    for _ in range(2):
        found = templates.write(buffer, raw.start, extent, rows, blanking)
        for record, event, signature in zip(read, events, found.signatures, strict=True):
            templates.learn(signature, record, event)
    found = templates.write(buffer, raw.start, extent, rows, blanking)
    begins = np.concatenate(([0], found.ends[:-1]))
    wrong = []
    for row in np.flatnonzero(found.done).tolist():
        line = found.lines[begins[row] : found.ends[row]].tobytes()
        made = msgspec.json.decode(line)
        if json.dumps(made) != json.dumps(msgspec.json.decode(expected[row])):
            wrong.append(lines[row])
    return int(found.done.sum()), wrong


def samples(form: SourceFormat) -> list[dict[str, Any]]:
    """Golden records of a format, and simulated ones."""
    if form.type == "odd":
        return ODD_RECORDS
    chunk = next(iter(simulate(200, seed=1, hours=0.1)))
    simulated = [RENDERERS[form.type](msgspec.json.decode(line)) for line in chunk.lines.splitlines()]
    records = [RECORDS[path] for path in FILES if path.parent.name == form.type] + simulated[:40]
    return [record["data"] if wrapper(record) == "data" else record for record in records]


@pytest.mark.parametrize("form", READ, ids=lambda one: one.type)
def test_templates_write_what_the_format_itself_would(form: SourceFormat) -> None:
    assert form.reads is not None
    records = samples(form)
    for tried in (varied(records, form.reads, 100, seed=1), swept(records[:: len(records) // 2][:2], form.reads)):
        done, wrong = written(form, form.reads, tried)
        assert wrong == []
        assert done > len(tried) / 10


@pytest.mark.parametrize("form", READ, ids=lambda one: one.type)
def test_the_sweep_finds_what_a_format_does_not_say(form: SourceFormat) -> None:
    """The test above can fail: where paths that decide are not declared, templates write something else."""
    assert form.reads is not None
    careless = replace(form.reads, decisive=())
    assert written(form, careless, swept(samples(form)[-2:], form.reads))[1]
