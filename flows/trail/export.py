"""What is kept of a person, for that person: to read, and for a machine; with nothing of others in it."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.errors import OutputError
from flows.trail import housekeeping
from flows.trail.access import ACCESS
from flows.trail.covered import proof_of
from flows.trail.reader import Trail
from flows.trail.schema import stamp
from flows.trail.timeline import Row, timeline
from flows.trail.written_timeline import FORMATS

PAGES: Final = {"timeline.json": "json", "timeline.csv": "csv", "index.html": "html"}
_encode = msgspec.json.Encoder(order="deterministic").encode


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export has: `rows` of each kind, and its files."""

    made: str
    tenant: str
    name: str
    start: str | None
    end: str | None
    rows: dict[str, int]
    files: list[str]


def write_export(trail: Trail, tenant: str, name: str, start: int | None, end: int | None, output: Path) -> Exported:
    """Write what is kept of a person into a directory that only its owner can read.

    `index.html`, `timeline.json` and `timeline.csv` have the events and incidents, in their order; `windows.json` what
    was learned of the person's behaviour; `access.json` who has read what is kept. `about.json` is written last: where
    it is, the export is whole. Memory does not grow with the export.

    Raises
    ------
    InputError
        The trail cannot be read.
    OutputError
        The directory cannot be written.
    """
    counts: Counter[str] = Counter()
    head: dict[str, Any] = {"by": "user", "value": name, "tenant": tenant}
    head |= {"from": stamp(start) if start is not None else None, "to": stamp(end) if end is not None else None}
    try:
        output.mkdir(mode=0o700, parents=True, exist_ok=True)
        output.chmod(0o700)
        proof = proof_of(trail.place)
        for file, form in PAGES.items():
            rows = timeline(trail, {"user": name}, proof, tenant=tenant, start=start, end=end)
            counted = _counted(rows, counts) if form == "json" else rows
            _write(output / file, (piece.encode() for piece in FORMATS[form](head, counted)))
        for kind, file in (("windows", "windows.json"), (ACCESS, "access.json")):
            found = _records(trail, kind, tenant, name, start, end) if trail.has(kind) else iter(())
            _write(output / file, _listed(found, kind, counts))
        files = [*PAGES, "windows.json", "access.json", "about.json"]
        done = Exported(
            made=stamp(housekeeping.now()), tenant=tenant, name=name, start=head["from"], end=head["to"],
            rows=dict(sorted(counts.items())), files=files,
        )  # fmt: skip
        _write(output / "about.json", [msgspec.json.format(_encode(done), indent=2), b"\n"])
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror})") from None
    return done


def _records(
    trail: Trail, kind: str, tenant: str, name: str, start: int | None, end: int | None
) -> Iterator[dict[str, Any]]:
    for one in trail.records(kind, tenant=tenant, user=name, start=start, end=end):
        yield {"time": stamp(one.time), "log": one.log, "leaf": one.leaf, **(one.record or {"sealed": True})}


def _counted(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
    for row in rows:
        counts[row.kind] += 1
        yield row


def _listed(records: Iterable[dict[str, Any]], kind: str, counts: Counter[str]) -> Iterator[bytes]:
    """A JSON array, a record a line."""
    begin = b"["
    for record in records:
        counts[kind] += 1
        yield begin + b"\n" + _encode(record)
        begin = b","
    yield (begin if begin == b"[" else b"\n") + b"]\n"


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
