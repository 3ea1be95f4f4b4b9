"""The `lapwing` command in trouble: `python -m tests.kafka.trouble '{"die": "after_commit", "at": 3}' detect ...`."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bytewax.inputs import StatefulSourcePartition

from tests.flow_under_test import Disturbance, _Part

PLACES = {"after_commit": 9, "before_commit": 9, "snapshot": 6, "init": 3, "marker": 3, "write": 30}
"""Where a process may be gone, and at which time at most it is worth a try: a transaction is committed and its epoch is
not durable; all is written and nothing committed; in a source's snapshot; the process before is fenced off; the marker
is read; in a write."""


def main(trouble: dict[str, Any], arguments: list[str]) -> None:
    """Be gone at the `at`-th time that `die` is reached. `nap` is slept before each item; `beats_only`: no events."""
    from flows import cli
    from flows.connectors import kafka_sink
    from flows.connectors.kafka import KafkaSource
    from flows.connectors.kafka_reader import KafkaReader

    place, left = trouble.get("die", ""), [trouble.get("at", 1)]

    def reached(here: str) -> None:
        if here == place:
            left[0] -= 1
            if left[0] <= 0:
                os._exit(9)

    def around(owner: type, name: str, before: str = "", after: str = "") -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def outer(*args: Any, **named: Any) -> Any:
            if before:
                reached(before)
            found = inner(*args, **named)
            if after:
                reached(after)
            return found

        setattr(owner, name, outer)

    part: Any = kafka_sink._Part
    around(part, "_committed", "before_commit", "after_commit")
    around(part, "_read_marker", after="marker")
    around(part, "_made", after="init")
    around(part, "write_batch", after="write")
    around(KafkaReader, "position", after="snapshot")
    disturbance = Disturbance(nap=trouble.get("nap", 0.0), beats_only=trouble.get("beats_only", False))
    disturbance.began = time.monotonic()
    build = KafkaSource.build_part

    def disturbed(self: KafkaSource, *args: Any) -> StatefulSourcePartition[Any, Any]:
        disturbance.stop = self._stop
        return _Part(build(self, *args), disturbance)

    KafkaSource.build_part = disturbed  # type: ignore[assignment,method-assign]
    sys.argv = ["lapwing", *arguments]
    cli.main()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
