"""Lines that become public when their epoch is durable: each exactly once over crashes, none taken back."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from bytewax.outputs import StatefulSinkPartition

from flows.connectors.output_directory import (
    PARTS,
    TEXTS,
    Payload,
    append,
    opened,
    remove,
)
from flows.durable import cannot_write, sync, write
from flows.errors import OutputError

State = tuple[int, int, int] | None
"""(version, P, n): the public lines end at P, and the stage that follows them has n bytes."""

_VERSION = 1
_CHUNK = 1 << 20


class Lines(Protocol):
    """What a flow hands to a file of lines."""

    @property
    def payload(self) -> Payload:
        """Whole lines, each with its LF; none in a heartbeat."""
        ...


class StagedLines(StatefulSinkPartition[Lines, State]):
    """The public file `DIR/NAME`, and the stage `DIR/.parts/NAME.P.stage` of the lines that follow its P bytes.

    Rows of the running epoch go to the stage. At any moment there is one of:

    - *clean*: no stage. After a start, or an epoch without rows. A crash loses nothing.
    - *open*: a stage grows. After a crash its epoch comes again, so the stage is dropped.
    - *sealed*: `snapshot` has synced the stage and given (1, P, n). If the epoch became durable, a start gets that back
      and publishes; if not, a start gets an older state, the epoch comes again, and the stage is dropped.
    - *published*: the first write of a later epoch has copied the stage to the public file at P. Bytewax lets nothing
      of a later epoch pass before the earlier one is durable, so a crash from here on brings (P, n) back: the same
      bytes are written at P once more.
    - *forgotten*: the next `snapshot` has synced the public file and removed the stage. A start with (P, n) sees no
      stage and P + n public bytes: nothing to do.

    Nothing is lost: a stage is removed only when its epoch will come again, or when its bytes are synced in the public
    file. Nothing is doubled: publishing writes at the known place P, and what a state does not know of is cut off.
    Nothing is taken back: only durable epochs are published, so nothing has to be cut unless an older copy of the
    state directory is put back.

    When `close` comes was tried with Bytewax 0.21.1: at a normal end after the last snapshot, but *before* that
    snapshot is durable if the run is a single epoch; and also when any step fails. So it publishes nothing. When
    `run_main` or `cluster_main` has returned, all is durable: then call `finish`. A start with the state does the
    same, so a run that ends in between loses nothing. Outputs of `on_notify` may run ahead of durability: a flow with
    this sink writes only what source items cause.

    P counts from the first run with this state. The public file may be moved away between runs (after a clean end):
    `.parts/NAME.base` says at which P the present file begins. A state with a mark of having `moved` (a copy, or one
    that was gone back to) begins in a directory of its own, which then bears that mark.

    Cost: every byte is written twice, and each epoch with rows waits for two syncs.

    Raises
    ------
    OutputError
        The files are not those the state was written with, or cannot be written.
    """

    def __init__(self, directory: Path, name: str, resume: State, moved: str = "") -> None:
        self._parts, self._name, self._path = directory / PARTS, name, directory / name
        self._stage: int | None = None  # the open stage
        self._staged = 0  # bytes in it
        self._sealed = 0  # bytes in the sealed one
        self._published: Path | None = None  # the stage that is public but not yet synced there
        if moved and not self._is_new_place(get_base(directory, name), moved):
            raise OutputError(
                f"{directory}: has results of another moment of this state, or of the one it is a copy of; "
                "give another --output, where those that follow begin"
            )
        if resume is None:
            for stage in stages(directory, name):
                remove(stage)
            self._public = self._base = 0
            set_base(directory, name, 0)
            self._file = opened(self._path, os.O_TRUNC)
            return
        version, self._public, self._sealed = resume
        if version != _VERSION:
            raise OutputError(f"{self._path}: the state was written by another version of Lapwing")
        self._restore(directory, moved)
        self._publish()

    def _restore(self, directory: Path, moved: str) -> None:
        """Makes the files what the state says they were."""
        stage = self._stage_at(self._public)
        base = get_base(directory, self._name)
        if base is None and not moved and self._sealed and not stage.exists():
            raise OutputError(f"{directory}: not the output directory of this state; give the one of the last run")
        if base is None or not self._path.exists():
            base = self._public if stage.exists() else self._public + self._sealed
            set_base(directory, self._name, base)
        self._base = base
        for other in stages(directory, self._name):
            if other != stage or not self._sealed:
                remove(other)
        end = self._public + self._sealed
        self._file = opened(self._path)
        has = base + os.fstat(self._file).st_size
        waits = stage.exists() and self._public >= base
        if has < (self._public if waits else end):
            raise OutputError(f"{self._path}: shorter than when the last run ended; put it back or start a new --state")
        if has > end:
            os.ftruncate(self._file, max(0, end - base))
        if not waits:
            self._public, self._sealed = end, 0

    def _is_new_place(self, base: int | None, moved: str) -> bool:
        """Whether a state that has moved may write here: where nobody did, which is marked then, or where it did."""
        mark = self._parts / f"{self._name}.moved"
        if base is None:
            write(mark, moved.encode())
            return True
        return mark.exists() and mark.read_text() == moved

    def _stage_at(self, public: int) -> Path:
        return self._parts / f"{self._name}.{public}.stage"

    def write_batch(self, items: list[Lines]) -> None:
        """Publishes the epoch before, which is durable now, and stages the items' lines."""
        self._publish()
        stage = self._stage_at(self._public)
        for item in items:
            payload = item.payload
            if len(payload) == 0:
                continue
            if self._stage is None:
                self._stage = opened(stage, os.O_TRUNC)
            self._staged += append(stage, self._stage, self._staged, payload)

    def snapshot(self) -> State:
        """Syncs what this epoch has published and staged, so that the state may refer to it."""
        try:
            if self._published is not None:
                os.fsync(self._file)
                remove(self._published)
                self._published = None
            if self._stage is not None:
                os.fsync(self._stage)
                os.close(self._stage)
                sync(self._parts)
                self._stage, self._sealed, self._staged = None, self._staged, 0
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return _VERSION, self._public, self._sealed

    def _publish(self) -> None:
        if not self._sealed:
            return
        stage = self._stage_at(self._public)
        copy(stage, self._path, self._file, self._public - self._base)
        self._published = stage
        self._public, self._sealed = self._public + self._sealed, 0

    def close(self) -> None:
        """Closes the files, and publishes nothing: the last epoch may not be durable."""
        if self._stage is not None:
            os.close(self._stage)
        os.close(self._file)


def finish(directory: str) -> None:
    """Publishes the last epoch of a run with state that has returned; does nothing where nothing waits.

    Call it only after `run_main` or `cluster_main` came back without an exception: only then the last epoch is durable.

    Raises
    ------
    OutputError
        A file cannot be written. Nothing is lost: another call, or a start with the state, does it again.
    """
    path = Path(directory)
    for name in TEXTS:
        for stage in stages(path, name):
            file = opened(path / name)
            try:
                copy(stage, path / name, file, _public(stage) - (get_base(path, name) or 0))
                os.fsync(file)
            except OSError as error:
                raise cannot_write(path / name, error) from error
            finally:
                os.close(file)
            remove(stage)


def _public(stage: Path) -> int:
    return int(stage.name.split(".")[-2])


def stages(directory: Path, name: str) -> list[Path]:
    """The stages of a result file, in the order of their lines."""
    found = (directory / PARTS).glob(f"{name}.*.stage")
    return sorted((stage for stage in found if stage.name.split(".")[-2].isdecimal()), key=_public)


def get_base(directory: Path, name: str) -> int | None:
    """At which public byte of the state the present file begins; None if the directory never saw this state."""
    try:
        return int((directory / PARTS / f"{name}.base").read_text())
    except (FileNotFoundError, ValueError):
        return None


def set_base(directory: Path, name: str, base: int) -> None:
    """Notes, durably, at which public byte of the state the present file begins."""
    path = directory / PARTS / f"{name}.base"
    draft = path.with_suffix(".tmp")
    try:
        with draft.open("w") as text:
            text.write(f"{base}\n")
            text.flush()
            os.fsync(text.fileno())
        draft.rename(path)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def copy(stage: Path, path: Path, file: int, at: int) -> None:
    """Writes the stage's bytes at their place in the public file; on a failure that is as long as it was."""
    try:
        size = os.fstat(file).st_size
        with stage.open("rb", buffering=0) as lines:
            while chunk := lines.read(_CHUNK):
                view = memoryview(chunk)
                while view:
                    written = os.pwrite(file, view, at)
                    at, view = at + written, view[written:]
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise cannot_write(path, error) from error
