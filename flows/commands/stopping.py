"""How a run is asked to end: SIGTERM, Ctrl-C, and a second Ctrl-C for those in a hurry."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flows import log
from flows.commands.console import say

INTERRUPTED = 130


class Stop:
    """A request to stop: `event` is set once it was made, `exit_code` says how the process then ends."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.exit_code = 0

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: finish the epoch, exit 0."""
        self.event.set()

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C: finish the epoch, exit 130; the second time, stop here."""
        if self.exit_code == INTERRUPTED:
            os._exit(INTERRUPTED)
        self.exit_code = INTERRUPTED
        self.event.set()
        # A signal handler must not take the lock of a buffered stream that its own thread may hold.
        text = "stopping after this epoch; Ctrl-C again stops at once"
        said = log.line("stopping", text) if log.as_json() else f"\nlapwing: {text}"
        os.write(_stderr(), f"{said}\n".encode())


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (OSError, io.UnsupportedOperation):
        return 2


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Signals ask instead of kill, for as long as this lasts. In another thread than the main one nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    signal.signal(signal.SIGTERM, stop.terminate)
    signal.signal(signal.SIGINT, stop.interrupt)
    try:
        yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def say_stopped(stop: Stop, state: str | None) -> None:
    """One line: what a stop has left."""
    if state:
        say(f"stopped; run it again with --state {state} to go on where it ended")
    else:
        say("stopped; results end here, and without --state a next run starts anew")
