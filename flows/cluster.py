"""Several processes as one: started together, stopped together, and together started again when one has failed."""

import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final

import msgspec

from flows import kernels_cache, log
from flows.asked import write_asked
from flows.config import Config
from flows.connectors.kafka import KafkaSource
from flows.detect import in_format, open_source, publish
from flows.errors import LapwingError, UsageError
from flows.lineage import lineage as lineage_of
from flows.lineage import moved as moved_mark
from flows.member import Job
from flows.observed import ObservedUnit
from flows.parts import KAFKA, rehearse
from flows.run_block import Run
from flows.running import result
from flows.state_dir import StateDir, open_state
from flows.state_shape import state_identity
from flows.time_block import NOW
from flows.totals import Progress, RunResult, Totals
from flows.unit import Ended, Unit

_LOOPBACK: Final = "127.0.0.1"


def run(
    config: Config,
    input: str,
    output: str,
    state: str | None,
    close: bool,
    format: str,
    stop: threading.Event,
    on_progress: Callable[[Progress], None] | None = None,
    observed: ObservedUnit | None = None,
    *,
    fresh: bool = False,
    accept_rewarm: bool = False,
    tell: log.Say = log.silent,
    on_restart: Callable[[str], None] = lambda text: None,
) -> RunResult:
    """Run the flow on `run.processes` processes of this machine until the input ends or `stop` is set.

    They are one unit: when one fails the others are ended too, and with a state all start again, where it says, as
    often as `[run]` allows. `on_restart` is told of it, and `tell`, which goes to the others by its name, says what it
    says of one process. When the topic of events has got new partitions, all end in good order and start again with
    them, which is no failure.

    Raises
    ------
    LapwingError
        What a process said that cannot be mended by starting again, or that came too often.
    """
    config = in_format(config, format)
    if input == "-":
        raise UsageError("standard input goes to one process only: give --processes 1, or a file or directory")
    if config.time.learn_until == NOW:
        now = datetime.now(UTC).isoformat()
        config = msgspec.structs.replace(config, time=msgspec.structs.replace(config.time, learn_until=now))
    if not kernels_cache.compiled():
        # All at once they would each compile the same.
        kernels_cache.load_numba()
        rehearse(config)
    began = time.monotonic()
    made_for = state_identity(config, output)
    kept = open_state(state, made_for, fresh=fresh, accept_rewarm=accept_rewarm) if state else None
    restarts = _Restarts(config.run, on_restart, observed)
    ran = False  # what keeps a first start from beginning is not tried again
    nothing = done = result(config, Totals(), 0.0, [], interrupted=False)
    try:
        if kept:
            write_asked(kept.path, config)
        for note in kept.notes if kept else ():
            tell(note)
        while True:
            unit = Unit(config.run.processes, kept, observed)
            try:
                totals = unit.run(_job(config, input, output, stop, kept, close, tell), stop, on_progress)
                done = result(config, totals, 0.0, [], interrupted=False).after(done)
                if not unit.grown or stop.is_set():
                    break
                ran = True
            except LapwingError as error:
                if isinstance(error, Ended) and error.noise and not log.as_json():
                    print(error.noise.rstrip(), file=sys.stderr)
                ran = ran or isinstance(error, Ended)
                if not ran or kept is None or error.exit_code != 1 or stop.is_set():
                    raise
                restarts.after(error, stop)
                done = nothing
                if stop.is_set():  # what waits is not known to be durable: the next run publishes it
                    return _told(done, began, [], stop, restarts)
        files = publish(output)
    finally:
        if kept:
            kept.close()
    return _told(done, began, files, stop, restarts)


def _told(done: RunResult, began: float, files: list[str], stop: threading.Event, restarts: "_Restarts") -> RunResult:
    seconds = time.monotonic() - began
    return msgspec.structs.replace(done, seconds=seconds, files=files, interrupted=stop.is_set(), restarts=restarts.all)


def _job(
    config: Config, input: str, output: str, stop: threading.Event, kept: StateDir | None, close: bool, tell: log.Say
) -> Job:
    """What all processes must agree on, determined once."""
    source = open_source(config, input, output, stop, kept, close=close)
    return Job(
        config=config,
        input=input,
        output=output,
        state=str(kept.path) if kept else None,
        close=close or not kept,
        partitions=source.partitions,
        starts=source.starts if isinstance(source, KafkaSource) else {},
        lineage=lineage_of(kept.path) if kept and output == KAFKA else None,
        moved=moved_mark(kept.path) if kept else "",
        addresses=_addresses(config.run.processes),
        number=0,
        tell=tell,
    )


def _addresses(count: int) -> tuple[str, ...]:
    """Free ports of the loopback interface. Who takes one before its process does costs a restart."""
    with ExitStack() as sockets:
        found = []
        for _ in range(count):
            one = sockets.enter_context(socket.socket())
            one.bind((_LOOPBACK, 0))
            found.append(f"{_LOOPBACK}:{one.getsockname()[1]}")
    return tuple(found)


class _Restarts:
    """Counts restarts, waits before each, and gives up."""

    def __init__(self, block: Run, tell: Callable[[str], None], observed: ObservedUnit | None) -> None:
        self._block, self._tell, self._observed = block, tell, observed
        self._recent: deque[float] = deque()
        self.all = 0

    def after(self, error: LapwingError, stop: threading.Event) -> None:
        """Wait before all start again, or raise why they do not."""
        block, now = self._block, time.monotonic()
        while self._recent and self._recent[0] < now - block.restart_period_s:
            self._recent.popleft()
        if len(self._recent) >= block.max_restarts:
            raise LapwingError(
                f"{error}; given up after {block.max_restarts} restarts within {block.restart_period}"
            ) from None
        wait = block.wait_s(len(self._recent))
        self._recent.append(now)
        self.all += 1
        news = f"{error}; all start again in {wait:g} s (restart {len(self._recent)} of {block.max_restarts})"
        if self._observed is not None:
            self._observed.again(news, failed=True)
        self._tell(news)
        stop.wait(wait)
