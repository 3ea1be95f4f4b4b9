"""Alerts to standard output, one a line."""

import errno
import os

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.connectors.output_directory import view_of
from flows.connectors.staged_lines import Lines
from flows.errors import OutputError


class StdoutSink(FixedPartitionedSink[Lines, None]):
    """Lines to a descriptor, standard output by default, each batch at once.

    A pipe remembers nothing: after a crash, lines of the last epoch may come again (with the same uid and seq).

    Raises
    ------
    OutputError
        Whoever read the output has gone, or it cannot be written.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor

    def list_parts(self) -> list[str]:
        """The one partition."""
        return ["-"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "StdoutLines":
        """The output as it stands."""
        return StdoutLines(self._descriptor)


class StdoutLines(StatefulSinkPartition[Lines, None]):
    """Writes past Python's buffer, so that nothing waits there and nothing fails at exit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write_batch(self, items: list[Lines]) -> None:
        """Writes all lines of the items."""
        for item in items:
            view = view_of(item.payload)
            while view:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except BlockingIOError:
                    os.set_blocking(self._descriptor, True)
                except OSError as error:
                    if error.errno == errno.EPIPE:
                        raise OutputError("standard output: the reader has gone (broken pipe)") from error
                    raise OutputError(f"standard output: cannot be written ({error.strerror})") from error

    def snapshot(self) -> None:
        """Nothing: what is written is gone."""
        return
