# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["csp>=0.10", "orjson>=3"]
# ///
"""Counts by address and minute in csp: one node with a dict, minutes given out as the watermark passes them."""

import sys
from datetime import datetime, timedelta
from itertools import chain

from job import FAILED, LATENESS_S, Counts, main


def job(path: str) -> Counts:
    """A file's counts; lines tick a microsecond apart, event time is in them."""
    import csp
    import orjson
    from csp import ts

    @csp.node
    def counted(line: ts[bytes]) -> ts[object]:
        with csp.state():
            s_open: dict = {}
            s_seen = ""
        if csp.ticked(line):
            event = orjson.loads(line)
            ip = event.get("ip")
            if ip is not None:
                row = s_open.setdefault(event["time"][:16], {}).setdefault(ip, [0, 0])
                row[0] += 1
                row[1] += event.get("action") == "login" and event.get("outcome") in FAILED
            if event["time"] > s_seen:
                if event["time"][:16] > s_seen[:16] and s_seen:
                    passed = datetime.fromisoformat(event["time"]) - timedelta(minutes=1, seconds=LATENESS_S)
                    closed = [minute for minute in s_open if minute < passed.isoformat()[:16]]
                    if closed:
                        return [s_open.pop(minute) for minute in closed]
                s_seen = event["time"]
            if event.get("last"):
                return list(s_open.values())

    begin = datetime(2026, 1, 1)
    tick = timedelta(microseconds=1)
    last = b'{"time":"2026-01-01T00:00:00Z","last":true}'

    @csp.graph
    def graph() -> None:
        with open(path, "rb") as file:
            lines = [(begin + number * tick, line) for number, line in enumerate(chain(file, (last,)), 1)]
        csp.add_graph_output("closed", counted(csp.curve(bytes, lines)))

    minutes = [minute for _, closed in csp.run(graph, starttime=begin)["closed"] for minute in closed]
    rows = [row for minute in minutes for row in minute.values()]
    return len(rows), sum(row[0] for row in rows), sum(row[1] for row in rows)


if __name__ == "__main__":
    sys.exit(main("csp", "csp", job, sys.argv[1:]))
