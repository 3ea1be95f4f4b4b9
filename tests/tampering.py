"""A small trail, and what somebody who can write its files may do to it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from flows.trail.leaves import LeafFile, leaf_files, leaves
from flows.trail.store import Store
from flows.trail.verify import Verified, Verifying
from tests.command import command
from tests.trails import archived

Rows = list[dict[str, Any]]
COUNTS = "the counts in insights: they are made of the events, and no row of them is a leaf"
"""What no verification of a trail that was archived proves."""
BEGIN = datetime(2026, 11, 2, 22, tzinfo=UTC)
FIRST, COUNT = 150, 240
"""Events of the first archived part, and of both; two in three are of the tenant acme."""


def event(number: int) -> dict[str, Any]:
    """One event; they go on over midnight."""
    return {
        "id": f"evt-{number}", "time": (BEGIN + timedelta(minutes=number)).isoformat(), "action": "login",
        "outcome": "success", "tenant": "globex" if number % 3 == 2 else "acme", "user": f"u-{number % 7}",
        "ip": f"203.0.113.{number % 200}", "status": 200, "latency_ms": number / 4,
    }  # fmt: skip


def made(folder: Path) -> Path:
    """A trail of two parts, each signed, with a second place and the public keys apart."""
    source = folder / "events.ndjson"
    for first, end in ((0, FIRST), (FIRST, COUNT)):
        with source.open("a") as file:
            file.writelines(json.dumps(event(number)) + "\n" for number in range(first, end))
        archived(source, folder, witness=folder / "witness.ndjson")
    (folder / "public-keys.txt").write_bytes((folder / "keys" / "public-keys.txt").read_bytes())
    return folder


def verified(folder: Path, **how: Any) -> Verified:
    """What a verification with all that an auditor has finds."""
    from flows.trail.signing import read_public_keys

    given = read_public_keys(folder / "public-keys.txt")
    return Verifying(str(folder / "trail"), second=folder / "witness.ndjson", given=given, **how).run()


def alone(folder: Path) -> Verified:
    """What a verification finds that has nothing but the trail."""
    return Verifying(str(folder / "trail")).run()


def found(report: Verified) -> list[tuple[str, str | None, str | None, int | None, int | None]]:
    """The findings: what, table, tenant, leaf, last leaf."""
    assert report.findings_in_all == len(report.findings)
    return [(one.what, one.table, one.tenant, one.leaf, one.last) for one in report.findings]


def store_of(folder: Path, kind: str = "events") -> Store:
    """A table."""
    return Store.open(str(folder / "trail"), kind)


def rewrite(folder: Path, change: Callable[[Rows], Rows], *, rehash: bool = False, at: int = 0) -> None:
    """Change the rows of a file of the tenant acme, in place; with `rehash` their hashes are made anew."""
    store = store_of(folder)
    file = [file for file in leaf_files(store) if file.tree == "acme"][at]
    path = folder / "trail" / "events" / file.path
    table = pq.ParquetFile(path).read()
    rows = change(table.to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    if rehash:
        hashes = [hash_ for some in every(store, file) for hash_ in some.found]
        rows = [row | {"leaf_hash": hash_} for row, hash_ in zip(rows, hashes, strict=True)]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def every(store: Store, file: LeafFile) -> list[Any]:
    """All rows of a file."""
    return list(leaves(store, file, lambda logs, leaf, time: leaf == leaf))


def with_leaf(rows: Rows, leaf: int) -> dict[str, Any]:
    """The row of a leaf."""
    return next(row for row in rows if row["leaf"] == leaf)


def delete(folder: Path, where: str) -> None:
    """Delete rows as anyone with a Delta library does."""
    DeltaTable(str(folder / "trail" / "events")).delete(where)


def forget_file(folder: Path, tree: str) -> str:
    """Take a file out of the table's log, as if it had never been added."""
    path = next(file.path for file in leaf_files(store_of(folder)) if file.tree == tree)
    for commit in (folder / "trail" / "events" / "_delta_log").glob("*.json"):
        lines = [line for line in commit.read_bytes().splitlines() if path.encode() not in line]
        commit.write_bytes(b"\n".join(lines) + b"\n")
    return path


def said(folder: Path, *more: str) -> tuple[int, str, list[str]]:
    """`lapwing verify`, as a user calls it."""
    return command("verify", "--trail", folder / "trail", *more)


def as_json(text: str) -> dict[str, Any]:
    """A result as a script reads it."""
    decoded: dict[str, Any] = msgspec.json.decode(text)
    return decoded
