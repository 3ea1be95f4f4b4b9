"""The job in csp: one node with a dict, minutes given out as the watermark passes them. There is no recovery.

A graph with a node for each entity would be csp's own way, and needs to know the entities beforehand.
"""

import sys
from datetime import datetime, timedelta
from itertools import chain

from benchmarks.peers.job import DIMENSIONS, LATENESS_S, MINUTE, Smoothed, row
from benchmarks.peers.measured import main

LAST = b""


def job(events: str, output: str) -> None:
    """Lines tick a microsecond apart; event time is in them."""
    import csp
    import orjson
    from csp import ts
    from csp.impl.pulladapter import PullInputAdapter
    from csp.impl.wiring import py_pull_adapter_def

    begin, tick = datetime(2026, 1, 1), timedelta(microseconds=1)

    class _Lines(PullInputAdapter):  # type: ignore[misc]
        def start(self, starttime: datetime, endtime: datetime) -> None:
            self._file = open(events, "rb")  # noqa: SIM115
            self._lines = enumerate(chain(self._file, (LAST,)), 1)
            super().start(starttime, endtime)

        def stop(self) -> None:
            self._file.close()

        def next(self) -> tuple[datetime, bytes] | None:
            number, line = next(self._lines, (0, LAST))
            return (begin + number * tick, line) if number else None

    lines = py_pull_adapter_def("lines", _Lines, ts[bytes])
    with open(output, "wb") as file:

        @csp.node
        def counted(line: ts[bytes]):
            with csp.state():
                s_open: dict = {}
                s_known: dict = {}
                s_closed = ""
                s_newest = ""
            if csp.ticked(line):
                if line:
                    event = orjson.loads(line)
                    time = event["time"]
                    counts = s_open.setdefault(time[:MINUTE], {})
                    for dimension in DIMENSIONS:
                        entity = event.get(dimension)
                        if entity is not None:
                            key = (dimension, event["tenant"], entity)
                            counts[key] = counts.get(key, 0) + 1
                    ready = []
                    if time > s_newest:
                        s_newest = time
                        if time[:MINUTE] > s_closed and len(s_open) > 1:
                            passed = (datetime.fromisoformat(time) - timedelta(seconds=LATENESS_S)).isoformat()[:MINUTE]
                            ready = sorted(minute for minute in s_open if minute < passed)
                            s_closed = passed
                else:
                    ready = sorted(s_open)
                for minute in ready:
                    for key, n in s_open.pop(minute).items():
                        known = s_known.get(key)
                        if known is None:
                            known = s_known[key] = Smoothed()
                        file.write(row(*key, minute, n, known.z(n)))

        @csp.graph
        def graph() -> None:
            counted(lines())

        csp.run(graph, starttime=begin, endtime=timedelta(days=1))


if __name__ == "__main__":
    sys.exit(main(job, packages=("csp",)))
