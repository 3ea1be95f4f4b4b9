"""Several processes as one: started together, stopped together, and together started again when one has failed."""

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, Final

import msgspec

from flows import kernels_cache
from flows.config import NOW, Config
from flows.connectors.kafka import KafkaSource
from flows.connectors.output_directory import open_directory
from flows.detect import check_format, open_source, publish
from flows.errors import ConfigError, LapwingError, Refused, UsageError
from flows.lineage import lineage as lineage_of
from flows.lineage import moved as moved_mark
from flows.member import SIGNALS, STOP, Broke, Done, Failed, Job, Note, Reached, Report
from flows.metrics import Observed
from flows.parts import KAFKA, rehearse
from flows.run_block import Run
from flows.running import result
from flows.state_dir import StateDir, open_state
from flows.state_shape import state_identity
from flows.totals import Progress, RunResult, Totals

GRACE_S: Final = 3.0
"""How long the others have, when one process has failed, to find that out themselves and let go of what they hold."""
_LOOK_S: Final = 0.2
_MOST_SHOWN: Final = 1 << 14
_PEER_GONE: Final = " thread panic: "
"""What the engine says where another process has ended."""
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
    observed: Observed | None = None,
    *,
    fresh: bool = False,
    accept_rewarm: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    on_restart: Callable[[str], None] = lambda text: None,
) -> RunResult:
    """Run the flow on `run.processes` processes of this machine until the input ends or `stop` is set.

    They are one unit: when one fails the others are ended too, and with a state all start again, where it says, as
    often as `[run]` allows. `on_restart` is told of it, and `tell` what the user must know of the state.

    Raises
    ------
    LapwingError
        What a process said that cannot be mended by starting again, or that came too often.
    """
    check_format(format)
    if input == "-":
        raise UsageError("standard input goes to one process only: give --processes 1, or a file or directory")
    if config.metrics.listen:
        raise UsageError("metrics are those of one process: leave --metrics and metrics.listen out, or --processes")
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
    restarts = _Restarts(config.run, on_restart)
    try:
        for note in kept.notes if kept else ():
            tell(note)
        while True:
            try:
                job = _job(config, input, output, stop, kept, close)
                totals = _Unit(job, config.run.processes, kept).run(stop, on_progress)
                break
            except LapwingError as error:
                if isinstance(error, _Ended) and error.noise:
                    print(error.noise.rstrip(), file=sys.stderr)
                started = isinstance(error, _Ended) or restarts.all
                if not started or kept is None or error.exit_code != 1 or stop.is_set():
                    raise
                restarts.after(error, stop)
            if stop.is_set():  # what waits is not known to be durable: the next run publishes it
                return _told(config, Totals(), began, [], stop, restarts)
        if output not in ("-", KAFKA):
            open_directory(output)  # a stop may come before anything was opened
        files = publish(output)
    finally:
        if kept:
            kept.close()
    return _told(config, totals, began, files, stop, restarts)


def _told(
    config: Config, totals: Totals, began: float, files: list[str], stop: threading.Event, restarts: "_Restarts"
) -> RunResult:
    done = result(config, totals, time.monotonic() - began, files, interrupted=stop.is_set())
    return msgspec.structs.replace(done, restarts=restarts.all)


def _job(config: Config, input: str, output: str, stop: threading.Event, kept: StateDir | None, close: bool) -> Job:
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


class _Ended(LapwingError):
    """A process has ended that should not have; `noise` is what it left behind."""

    def __init__(self, text: str, noise: str = "") -> None:
        super().__init__(text)
        self.noise = noise


class _Restarts:
    """Counts restarts, waits before each, and gives up."""

    def __init__(self, block: Run, tell: Callable[[str], None]) -> None:
        self._block, self._tell = block, tell
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
        self._tell(f"{error}; all start again in {wait:g} s (restart {len(self._recent)} of {block.max_restarts})")
        stop.wait(wait)


@dataclass(slots=True)
class _Member:
    """A process as its parent sees it."""

    number: int
    process: "subprocess.Popen[bytes]"
    noise: IO[bytes]
    progress: Progress | None = None
    failed: Failed | None = None
    broke: Broke | None = None
    done: Done | None = None
    code: int | None = None

    def tell(self, word: bytes) -> None:
        """Send a word; one that has ended needs none."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(word)
            self.process.stdin.flush()


class _Unit:
    """All processes from their start to the end of the last."""

    def __init__(self, job: Job, processes: int, kept: StateDir | None) -> None:
        self._job, self._count, self._kept = job, processes, kept
        self._members: list[_Member] = []
        self._heard: queue.SimpleQueue[tuple[int, Report | int]] = queue.SimpleQueue()

    def run(self, stop: threading.Event, on_progress: Callable[[Progress], None] | None) -> Totals:
        """Run to the end.

        Raises
        ------
        LapwingError
            A process failed. None of them is left.
        """
        try:
            for number in range(self._count):
                self._members.append(self._start(number))
            told = False
            while any(member.code is None for member in self._members) and not self._first_failure():
                if stop.is_set() and not told:
                    self._stop()
                    told = True
                if self._listen(_LOOK_S) and on_progress is not None:
                    on_progress(self._progress())
            if failed := self._first_failure():
                self._stop()
                self._drain()
                raise self._cause(failed)
        finally:
            self._end()
        totals = Totals()
        for member in self._members:
            assert member.done is not None
            totals.add(member.done.share)
        return totals

    def _start(self, number: int) -> _Member:
        reading, writing = os.pipe()
        noise = _scratch()
        lock = (self._kept.lock,) if self._kept else ()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "flows.member", str(writing)],
                stdin=subprocess.PIPE, stderr=noise, pass_fds=(writing, *lock),
            )  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(writing)
        member = _Member(number, process, noise)
        job = pickle.dumps(replace(self._job, number=number))
        threading.Thread(target=self._hear, args=(member, reading), daemon=True).start()
        member.tell(len(job).to_bytes(8, "big") + job)
        return member

    def _hear(self, member: _Member, reading: int) -> None:
        with os.fdopen(reading, "rb") as reports:
            for line in reports:
                with suppress(msgspec.DecodeError):  # the last line of one that was killed
                    self._heard.put((member.number, msgspec.json.decode(line, type=Report)))
        self._heard.put((member.number, member.process.wait()))

    def _listen(self, seconds: float) -> bool:
        """Take the next report, if one comes in time; whether it was one of progress."""
        try:
            number, report = self._heard.get(timeout=seconds)
        except queue.Empty:
            return False
        member = self._members[number]
        match report:
            case Note():
                print(report.text, file=sys.stderr, flush=True)
            case Reached():
                member.progress = report.progress
                return True
            case Failed():
                member.failed = member.failed or report
            case Broke():
                member.broke = member.broke or report
            case Done():
                member.done = report
            case int():
                member.code = report
        return False

    def _first_failure(self) -> _Member | None:
        for member in self._members:
            if member.failed or (member.code is not None and (member.code or not member.done)):
                return member
        return None

    def _stop(self) -> None:
        for member in self._members:
            member.tell(STOP)

    def _drain(self) -> None:
        """Give the others the time to find out, and hear what they say."""
        until = time.monotonic() + GRACE_S
        while any(member.code is None for member in self._members) and time.monotonic() < until:
            self._listen(max(0.0, until - time.monotonic()))

    def _cause(self, first: _Member) -> LapwingError:
        """Why all had to end: what one says to the user, else who was killed, else what broke by itself."""
        members = [first, *(member for member in self._members if member is not first)]
        if (said := next((member for member in members if member.failed), None)) and said.failed:
            return _error(said.failed)
        alone = [member for member in members if member.broke and _PEER_GONE not in member.broke.trace]
        killed = next((member for member in members if member.code is not None and member.code < 0), [*alone, first][0])
        name = f"process {killed.number} of {self._count}"
        if killed.code is not None and killed.code < 0:
            mute = -killed.code in (signal.SIGKILL, signal.SIGTERM)  # what sent them knows why
            return _Ended(f"{name} was ended by signal {-killed.code}", "" if mute else _said(killed))
        noise = "\n".join(map(_said, (killed, *(one for one in members if one is not killed))))
        line = killed.broke.trace.rstrip().rpartition("\n")[2] if killed.broke else f"exit code {killed.code}"
        return _Ended(f"{name} broke ({line})", noise)

    def _progress(self) -> Progress:
        """Of all processes together. Each knows how much there is to read in all."""
        seen = [member.progress for member in self._members if member.progress]
        return Progress(
            events=sum(one.events for one in seen),
            alerts=sum(one.alerts for one in seen),
            dead_letters=sum(one.dead_letters for one in seen),
            event_time=max(one.event_time for one in seen),
            bytes_read=sum(one.bytes_read for one in seen),
            bytes_total=seen[0].bytes_total,
        )

    def _end(self) -> None:
        """End who is left, each by its own id, and wait until it has gone."""
        for member in self._members:
            if member.process.poll() is None:
                member.process.kill()
        for member in self._members:
            member.process.wait()
            with suppress(BrokenPipeError):
                member.process.stdin.close()  # type: ignore[union-attr]
            member.noise.close()


def _said(member: _Member) -> str:
    """All that there is of a process that broke: its trace, and what native code has left on its stderr."""
    member.noise.seek(0)
    left = member.noise.read(_MOST_SHOWN).decode(errors="replace")
    return f"process {member.number}: {member.broke.trace if member.broke else ''}{left}"


def _error(said: Failed) -> LapwingError:
    if said.faults:
        return ConfigError(said.faults)
    return {2: UsageError, 3: Refused}.get(said.exit_code, _Ended)(said.text)


def _scratch() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("noise"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
