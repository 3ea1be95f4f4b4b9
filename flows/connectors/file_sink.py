"""Lines to a file: `scored.ndjson`, `alerts.ndjson`, `dead-letters.ndjson`."""

import os
from functools import partial
from pathlib import Path

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.connectors.output_directory import append, open_directory, remove, replaced
from flows.connectors.polled import TURN
from flows.connectors.staged_lines import Lines, StagedLines, State, stages
from flows.connectors.write_behind import WriteBehind


class FileSink(FixedPartitionedSink[Lines, State]):
    """One result file, of whole lines only.

    Without `staged` an existing file is replaced and lines are appended as they come. With it (the flow has a state
    directory) each line stands in the file exactly once whatever crashes, and no reader sees a line taken back;
    see `StagedLines`. Without a resume state an existing file is replaced then too.

    Raises
    ------
    OutputError
        The directory or the file cannot be written. What had been written ends with a whole line.
    """

    def __init__(self, directory: str, name: str, staged: bool, moved: str = "") -> None:
        self._directory, self._name, self._staged, self._moved = directory, name, staged, moved

    def list_parts(self) -> list[str]:
        """The one partition; every worker could write it, Bytewax chooses."""
        return [self._name]

    def build_part(self, step_id: str, for_part: str, resume_state: State) -> StatefulSinkPartition[Lines, State]:
        """The file, open, and as the state says it was."""
        directory = open_directory(self._directory)
        if self._staged:
            return StagedLines(directory, self._name, resume_state, self._moved)
        return DirectLines(directory, self._name)


class DirectLines(StatefulSinkPartition[Lines, State]):
    """Appends to a fresh file, behind the flow's back. A failed write is cut back to its last whole line."""

    def __init__(self, directory: Path, name: str) -> None:
        self._path = directory / name
        for stage in stages(directory, name):
            remove(stage)
        self._file = replaced(self._path)
        self._size = 0
        self._behind = WriteBehind(waiting=TURN)

    def write_batch(self, items: list[Lines]) -> None:
        """Appends all lines of the items; what fails is raised here or at the next call, if only a heartbeat's."""
        self._behind.look()
        for item in items:
            self._behind.write(partial(self._append, item))

    def _append(self, item: Lines) -> None:
        payload = item.payload
        if len(payload):
            self._size += append(self._path, self._file, self._size, payload)

    def snapshot(self) -> State:
        """Nothing: there is no run to go on with. All lines are written then; a normal end takes a snapshot."""
        self._behind.settle()
        return None

    def close(self) -> None:
        """Closes the file; also called when another step has failed."""
        self._behind.close()
        os.close(self._file)
