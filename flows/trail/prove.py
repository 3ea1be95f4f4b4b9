"""The proof that one row is what was signed, for whoever has neither the trail nor Lapwing."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from flows.errors import Refused, UsageError
from flows.trail.checkpoints import CHECKPOINT, Checkpoint, Place
from flows.trail.files import batches
from flows.trail.heard import Findings, Heard
from flows.trail.leaves import Gathered, LeafFile, Leaves, by_log, leaf_files, leaves
from flows.trail.merkle import HASH_BYTES, Range, inclusion, is_included, subtrees
from flows.trail.note_table import Note, NoteTable
from flows.trail.notes import BadNote
from flows.trail.schema import SHARED, leaf_bytes, schema_of, stamp, tree_of
from flows.trail.store import Store

VERSION: Final = 1
_TOLD: Final = 4
_MORE: Final = "`lapwing verify` says more"


def prove(
    trail: str,
    kind: str,
    *,
    id_: str | None = None,
    log: str | None = None,
    leaf: int | None = None,
    tenant: str | None = None,
) -> dict[str, Any]:
    """An inclusion proof of the row with an id, or at a leaf of a log: the first checkpoint after it proves it.

    The row stands in it as it is stored, sealed. Reads the ids of all files where an id is asked for; of the hashes
    only those between two checkpoints.

    Raises
    ------
    InputError
        The trail cannot be read.
    Refused
        There is no such row, it is under no checkpoint yet, or it is not what was signed.
    UsageError
        Several rows have the id.
    """
    store = Store.open(trail, kind)
    trees = None if tenant is None else {tree_of(tenant), SHARED}
    files = [file for file in leaf_files(store) if trees is None or file.tree in trees]
    found = list(_found(store, files, id_, log, leaf, tenant))
    what = f"{'id' if kind == 'events' else 'uid'} {id_}" if id_ is not None else f"leaf {leaf} in log {log}"
    if not found:
        raise Refused(f"{trail}/{kind}: there is no row with {what}")
    if len({(file.tree, *at) for file, *at in found}) > 1:
        some = "; ".join(f"--tenant {file.tree} --log {log} --leaf {leaf}" for file, log, leaf in found[:_TOLD])
        raise UsageError(f"{len(found)} rows have {what}: name one of them: {some}")
    file, log, leaf = found[0]
    place = Place(kind, file.tree, log)
    table = NoteTable.open(trail)
    findings = Findings()
    heard = Heard(table, None, (), findings)
    points = heard.points.get(place, [])
    point = next((one for one in points if one.size > leaf), None)
    if table is None or point is None:
        if findings.kept:
            raise Refused(f"{place}: leaf {leaf:,} is under no checkpoint that holds: {findings.kept[0].said}; {_MORE}")
        raise Refused(f"{place}: leaf {leaf:,} is under no checkpoint yet: wait a minute, or end the archive")
    row = next(_row(store, file, log, leaf))
    before = next((tree for one in reversed(points) if one.size <= leaf and (tree := one.range())), Range())
    note = next(one.note for one in table.notes() if one.what == CHECKPOINT and _says(one, point))
    others = [run for run, _ in heard.expired[place].values()]
    try:
        path = _path(store, place, leaf, before, point, others)
    except ValueError:
        path = []
    if row.claimed != row.found or not is_included(row.found[0], leaf, point.size, path, point.root):
        raise Refused(f"{place}: leaf {leaf:,} is not what was signed; {_MORE}")
    names = [name for name in schema_of(kind).names if name != "leaf_hash"]
    return {
        "lapwing_proof": VERSION,
        "table": kind,
        "tree": file.tree,
        "log": log,
        "leaf": leaf,
        "signed": stamp(point.time),
        "row": {name: _plain(value) for name, value in zip(names, row.values[0], strict=True)},
        "leaf_bytes": _base64(leaf_bytes(row.values[0])),
        "path": [_base64(node) for node in path],
        "checkpoint": note,
        "public_keys": [key.text for key in heard.keys],
        "key_changes": heard.changes,
    }


def _found(
    store: Store, files: Sequence[LeafFile], id_: str | None, log: str | None, leaf: int | None, tenant: str | None
) -> Iterator[tuple[LeafFile, str, int]]:
    """The rows that are meant."""
    name = "id" if store.kind == "events" else "uid"
    for file in files:
        if leaf is not None and not file.first <= leaf <= file.last:
            continue
        with store.folder.open(file.path) as (parquet, _):
            for batch in batches(parquet, range(parquet.num_row_groups), [name, "tenant", "log", "leaf"]):
                keep = pa.array([True] * batch.num_rows)
                for column, value in ((name, id_), ("tenant", tenant), ("log", log)):
                    if value is not None:
                        keep = pc.and_(keep, pc.fill_null(pc.equal(batch.column(column), value), False))
                if leaf is not None:
                    keep = pc.and_(keep, pc.equal(batch.column("leaf"), leaf))
                for row in batch.filter(keep).to_pylist():
                    yield file, row["log"], row["leaf"]


def _row(store: Store, file: LeafFile, log: str, leaf: int) -> Iterator[Leaves]:
    def wanted(logs: pa.Array, numbers: Any, _: Any) -> Any:
        return pc.equal(logs, log).to_numpy(zero_copy_only=False) & (numbers == leaf)

    return leaves(store, file, wanted)


def _path(store: Store, place: Place, leaf: int, before: Range, point: Checkpoint, others: list[Range]) -> list[bytes]:
    """From a leaf to the root of a checkpoint, over the hashes that have come since an earlier one."""
    with Gathered({place.log: (before.end, point.size)}) as hashes:
        for file in leaf_files(store):
            if file.tree != place.tree or file.last < before.end or file.first >= point.size:
                continue
            with store.folder.open(file.path) as (parquet, _):
                for batch in batches(parquet, range(parquet.num_row_groups), ["log", "leaf", "leaf_hash"]):
                    numbers = batch.column("leaf").to_numpy()
                    for log, which in by_log(batch.column("log")):
                        mine = which[(numbers[which] >= before.end) & (numbers[which] < point.size)]
                        if log == place.log and len(mine):
                            some = batch.column("leaf_hash").take(pa.array(mine)).to_pylist()
                            if any(hash_ is None or len(hash_) != HASH_BYTES for hash_ in some):
                                raise ValueError("not hashes")
                            hashes.put(log, numbers[mine], some)
        known = hashes.get(place.log, before.end, point.size)
    return inclusion(leaf, point.size, subtrees(before, known, others))


def _says(note: Note, point: Checkpoint) -> bool:
    try:
        said = note.read()
    except BadNote:
        return False
    return isinstance(said, Checkpoint) and said[:5] == point[:5]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": _base64(value)}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
