"""Where signed notes lie: a table of the trail, and a second place that somebody else looks after."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError
from msgspec.structs import replace

from flows import durable
from flows.errors import InputError, OutputError
from flows.trail.cause import cause
from flows.trail.checkpoints import CHECKPOINT, EXPIRED, KEY, Checkpoint, Expired, KeyChange
from flows.trail.files import Folder
from flows.trail.notes import LONGEST, BadNote, text_of

TABLE: Final = "checkpoints"
MANY: Final = 64
"""Files of the table that are made one."""
_SWEEP_H: Final = 1
_SCHEMA: Final = pa.schema(
    [
        pa.field("what", pa.string(), nullable=False),
        pa.field("note", pa.string(), nullable=False),
        pa.field("frontier", pa.list_(pa.field("element", pa.binary()))),
        pa.field("blocks", pa.binary()),
    ]
)


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """A signed note as it is stored: what it is, its text with signatures, and of a checkpoint the frontier.

    `blocks` are the hashes, one after the other, of the blocks of leaves that have become whole since the checkpoint
    before. They are in the trail only, and not signed: they are believed if they lead to the frontier.
    """

    what: str
    note: str
    frontier: list[bytes] | None = None
    blocks: bytes | None = None

    def read(self) -> Checkpoint | KeyChange | Expired:
        """What it says, whoever has signed it.

        Raises
        ------
        BadNote
            It says nothing that Lapwing signs.
        """
        text = text_of(self.note)
        if self.what == CHECKPOINT:
            return Checkpoint.parse(text, self.frontier)
        if self.what == KEY:
            return KeyChange.parse(text)
        if self.what == EXPIRED:
            return Expired.parse(text)
        raise BadNote("not a note of Lapwing's")


class NoteTable:
    """The notes inside a trail, in a directory or an object store: `checkpoints`, a Delta table."""

    def __init__(self, place: str, table: DeltaTable) -> None:
        self.place, self._table = place, table

    @classmethod
    def open(cls, trail: str, *, create: bool = False) -> Self | None:
        """The table of a trail; None where there is none, unless it is made.

        Raises
        ------
        InputError
            It cannot be read.
        OutputError
            It cannot be made.
        """
        place = f"{trail.rstrip('/')}/{TABLE}"
        try:
            return cls(place, DeltaTable(place))
        except TableNotFoundError:
            if not create:
                return None
        except (DeltaError, OSError, ValueError) as error:
            raise InputError(f"{place}: {cause(error)}") from None
        try:
            if "://" not in place:
                Path(place).mkdir(parents=True, exist_ok=True)
            made = DeltaTable.create(
                place, schema=_SCHEMA, name=TABLE, configuration={"delta.dataSkippingStatsColumns": "what"}
            )
        except (DeltaError, OSError) as error:
            raise OutputError(f"{place}: {cause(error)}") from None
        return cls(place, made)

    def append(self, notes: Sequence[Note]) -> None:
        """Add notes, all or none; now and then the table's files become one.

        Raises
        ------
        OutputError
            They are not in the table.
        """
        rows = pa.table(
            [[getattr(one, name) for one in notes] for name in _SCHEMA.names],
            schema=_SCHEMA,
        )
        try:
            self._table.update_incremental()
            write_deltalake(self._table, rows, mode="append")
            self._table.update_incremental()
            if len(self._table.file_uris()) >= MANY:
                self._table.optimize.compact()
                self._table.vacuum(_SWEEP_H, dry_run=False, enforce_retention_duration=False)
        except (DeltaError, OSError) as error:
            raise OutputError(f"{self.place}: {cause(error)}") from None

    def notes(self, *, blocks: bool = False) -> Iterator[Note]:
        """All notes, in no particular order; without the blocks unless they are asked for.

        Raises
        ------
        InputError
            A file cannot be read.
        """
        self._table.update_incremental()
        folder = Folder(self.place, self._table)
        columns = _SCHEMA.names if blocks else _SCHEMA.names[:-1]
        paths = pa.table(self._table.get_add_actions(flatten=True)).column("path").to_pylist()
        for path in sorted(paths):
            with folder.open(path) as (parquet, _):
                for batch in parquet.iter_batches(batch_size=8 if blocks else 1024, columns=columns):
                    yield from (Note(**row) for row in batch.to_pylist())


class Witness:
    """The second place: a file to which notes are only ever added, one JSON object a line.

    Best where whoever can write the trail cannot take anything back: another machine's, or append-only (`chattr +a`).
    """

    def __init__(self, place: Path, trail: str) -> None:
        self.path = place / f"{trail.replace('/', '-')}.ndjson" if place.is_dir() else place

    def append(self, notes: Sequence[Note]) -> None:
        """Add notes; they are durable afterwards.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        lines = b"".join(msgspec.json.encode(replace(one, blocks=None)) + b"\n" for one in notes)
        try:
            with open(self.path, "a+b") as file:
                if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    lines = b"\n" + lines  # a line that a crash has cut
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise durable.cannot_write(self.path, error) from None


def read_notes(path: Path) -> Iterator[Note | None]:
    """Notes of a file, None for lines that are none: a second place's lines, or one checkpoint as text.

    Raises
    ------
    InputError
        It cannot be read, or there is nothing such in it.
    """
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            if file.read(1) != "{":
                file.seek(0)
                text = file.read(LONGEST)
                Checkpoint.parse(text_of(text))
                yield Note(CHECKPOINT, text)
                return
            file.seek(0)
            for line in file:
                try:
                    yield msgspec.json.decode(line, type=Note)
                except msgspec.DecodeError:
                    if line.strip():
                        yield None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except BadNote as error:
        raise InputError(f"{path}: {error}") from None
