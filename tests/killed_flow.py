"""A flow to be killed: two sources count, one file sink writes. `python -m tests.killed_flow STATE OUT END WORKERS`."""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from flows.connectors.file_sink import FileSink
from flows.connectors.output_directory import SCORED
from flows.connectors.staged_lines import finish


class Line:
    def __init__(self, text: str) -> None:
        self.payload = text.encode()


class Count(StatefulSourcePartition[Line, int]):
    """Lines `name:number`; the first item of every start is a heartbeat."""

    def __init__(self, name: str, at: int, end: int) -> None:
        self.name, self.at, self.end, self.started = name, at, end, False

    def next_batch(self) -> list[Line]:
        if not self.started:
            self.started = True
            return [Line("")]
        if self.at >= self.end:
            raise StopIteration
        first, self.at = self.at, min(self.end, self.at + 50)
        return [Line("".join(f"{self.name}:{i}\n" for i in range(first, self.at)))]

    def next_awake(self) -> datetime | None:
        return datetime.now(UTC) + timedelta(milliseconds=2)

    def snapshot(self) -> int:
        return self.at


class Counts(FixedPartitionedSource[Line, int]):
    def __init__(self, end: int) -> None:
        self.end = end

    def list_parts(self) -> list[str]:
        return ["a", "b"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> Count:
        return Count(for_part, resume_state or 0, self.end)


def main(state: Path, out: str, end: int, workers: int) -> None:
    if not state.exists():
        state.mkdir()
        init_db_dir(state, 1)  # type: ignore[no-untyped-call]
    flow = Dataflow("killed")
    stream = op.map("keyed", op.input("source", flow, Counts(end)), lambda line: ("k", line))
    op.output("scored", stream, FileSink(out, SCORED, staged=True))
    print(time.time(), flush=True)
    cluster_main(  # type: ignore[no-untyped-call]
        flow, [], 0, worker_count_per_proc=workers, epoch_interval=timedelta(milliseconds=20),
        recovery_config=RecoveryConfig(str(state)),  # type: ignore[no-untyped-call]
    )  # fmt: skip
    finish(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
