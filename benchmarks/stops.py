"""What each stop of an event's path costs: the real flow, in this process, with a clock around its functions.

The clocks nest: a stop's time is its own, without that of the stops inside it. What no clock covers is the engine.
They count the processor's time, so that what else the machine does is not in them; waiting for a disk is not either.
What is read ahead and written behind goes on beside the rest: with two cores the sum is more than a run takes.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from flows import detect
from flows.config import load
from flows.connectors import file_sink, partition, window_sink
from flows.connectors.file_reader import FileReader
from flows.formats import lapwing, ocsf, scored
from flows.steps import gather
from flows.steps.assess import Assess, Assessing
from flows.steps.decide import Decide
from models.windows import minute, shard
from models.windows.behaviour import Behaviour
from models.windows.evidence import Evidence
from models.windows.incidents import Incidents
from models.windows.recent import Recent

Stops = tuple[tuple[str, tuple[tuple[Any, str], ...]], ...]
"""Stops, and the functions that each is, where a flow looks them up."""
ENGINE = "engine and the rest"
STOPS: Stops = (
    ("read, split lines", ((FileReader, "read"),)),
    ("decode: scan", ((lapwing, "scan"),)),
    ("decode: columns", ((lapwing, "fill"),)),
    ("decode: unusual events", ((lapwing.SlowPath, "run"), (lapwing.SlowPath, "place"))),
    ("decode: rest", ((lapwing, "_decode"),)),
    ("clock, cut", ((partition.Partition, "feed"), (partition.Partition, "take"))),
    ("split", ((detect, "split"),)),
    ("assess: arrive", ((shard, "_ARRIVE"), (shard, "_ADD_WAITING"))),
    ("assess: close", ((shard, "_CLOSE_PANES"), (shard, "_OPEN_EARLY"))),
    ("assess: learn", ((shard, "learn_minute"),)),
    ("assess: behaviour", ((Behaviour, "count"), (Behaviour, "count_waiting"), (Behaviour, "close"),
                           (Behaviour, "move"))),
    ("assess: windows", ((shard, "kept_windows"), (minute, "kept_windows"), (minute, "reached"))),
    ("assess: incidents", ((Incidents, "take"), (shard.Shard, "_follow"), (shard, "under_incidents"))),
    ("assess: evidence", ((Evidence, "add"), (Evidence, "forget"), (Recent, "add"), (Recent, "forget"))),
    ("assess: room", ((shard, "make_room"),)),
    ("assess: rest", ((Assess, "on_batch"), (shard.Shard, "assess"), (Assessing, "result"))),
    ("gather", ((gather, "gather"),)),
    ("risk", ((gather, "risk"),)),
    ("decide", ((Decide, "on_batch"),)),
    ("encode scored", ((scored, "encode"),)),
    ("encode alerts", ((ocsf, "encode_alert"),)),
    ("windows: table", ((detect, "table_of"),)),
    ("windows: write", ((window_sink.WindowParts, "write_batch"), (window_sink._Draft, "append"),
                        (window_sink._Draft, "place"), (detect, "merge_windows"))),
    ("sink: lines", ((file_sink, "append"),)),
)  # fmt: skip
"""Those of `lapwing detect`."""


class Clocks:
    """Processor seconds by stop, each without the stops inside it. `clock` is that of a thread, or of all threads."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._clock = clock
        self._thread = threading.local()

    @property
    def _inside(self) -> list[float]:
        """Seconds of the stops inside those under way in this thread, which reads ahead or writes behind the flow."""
        if not hasattr(self._thread, "inside"):
            self._thread.inside = [0.0]
        inside: list[float] = self._thread.inside
        return inside

    @contextmanager
    def running(self, stop: str) -> Iterator[None]:
        """Time a block as part of a stop."""
        began = self._clock()
        self._inside.append(0.0)
        try:
            yield
        finally:
            spent = self._clock() - began
            self.seconds[stop] += spent - self._inside.pop()
            self._inside[-1] += spent

    def around(self, stop: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed. A factory's product is timed too: what it makes is the stop."""

        def timed(*args: Any, **named: Any) -> Any:
            began = self._clock()
            self._inside.append(0.0)
            try:
                made = function(*args, **named)
            finally:
                spent = self._clock() - began
                self.seconds[stop] += spent - self._inside.pop()
                self._inside[-1] += spent
            return self.around(stop, made) if callable(made) else made

        return timed

    @contextmanager
    def on(self, stops: Stops) -> Iterator[None]:
        """Time functions as parts of stops, and what no stop covers as the engine."""
        with ExitStack() as patched:
            for stop, functions in stops:
                for owner, name in functions:
                    patched.enter_context(patch.object(owner, name, self.around(stop, getattr(owner, name))))
            with self.running(ENGINE):
                yield


def run(path: str, output: str) -> tuple[dict[str, float], int]:
    """Processor seconds of each stop over a file of events, and how many events it holds; results go to a folder.

    Costs a few microseconds of clock for each slice of a batch. Run it once on something short before, so that kernels
    are compiled and loaded.
    """
    clocks = Clocks()
    config = load(None)
    with clocks.on(STOPS):
        done = detect.run(config, path, output, None, False, "lapwing", threading.Event())
    return {stop: clocks.seconds[stop] for stop in (*(stop for stop, _ in STOPS), ENGINE)}, done.events
