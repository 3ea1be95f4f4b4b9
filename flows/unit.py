"""Several processes from their common start to the end of the last: told to stop together, and heard."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, Final

import msgspec

from flows import log
from flows.errors import ConfigError, LapwingError, Refused, UsageError
from flows.member import SIGNALS, STOP, Broke, Done, Failed, Grown, Job, Metered, Note, Reached, Report
from flows.observed import ObservedUnit
from flows.state_dir import StateDir
from flows.totals import Progress, Totals

GRACE_S: Final = 3.0
"""How long the others have, when one process has failed, to find that out themselves and let go of what they hold."""
_LOOK_S: Final = 0.2
_MOST_SHOWN: Final = 1 << 14
_PEER_GONE: Final = " thread panic: "
"""What the engine says where another process has ended."""


class Ended(LapwingError):
    """A process has ended that should not have; `noise` is what it left behind."""

    def __init__(self, text: str, noise: str = "") -> None:
        super().__init__(text)
        self.noise = noise


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


class Unit:
    """All processes from their start to the end of the last.

    `grown` says how the topic of events has grown, for which all end: empty if it has not.
    """

    def __init__(self, processes: int, kept: StateDir | None, observed: ObservedUnit | None = None) -> None:
        self._count, self._kept, self._observed = processes, kept, observed
        self.grown = ""
        self._stopped = False
        self._members: list[_Member] = []
        self._heard: queue.SimpleQueue[tuple[int, Report | int]] = queue.SimpleQueue()

    def run(self, job: Job, stop: threading.Event, on_progress: Callable[[Progress], None] | None) -> Totals:
        """Run to the end.

        Raises
        ------
        LapwingError
            A process failed. None of them is left.
        """
        if self._observed is not None:
            self._observed.begin(len(job.partitions), self._kept.path if self._kept else None)
        try:
            for number in range(self._count):
                self._members.append(self._start(replace(job, number=number)))
            while any(member.code is None for member in self._members) and not self._first_failure():
                if (stop.is_set() or self.grown) and not self._stopped:
                    self._stop()
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

    def _start(self, job: Job) -> _Member:
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
        if self._observed is not None:
            self._observed.started(process.pid)
        member = _Member(job.number, process, noise)
        said = pickle.dumps(job)
        threading.Thread(target=self._hear, args=(member, reading), daemon=True).start()
        member.tell(len(said).to_bytes(8, "big") + said)
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
            case Metered():
                if self._observed is not None:
                    self._observed.hear(number, report.reading)
            case Grown() if not self.grown and not self._stopped:
                self._grow(report.text)
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

    def _grow(self, text: str) -> None:
        """Say once what each process finds sooner or later."""
        self.grown = text
        log.say(text)
        if self._observed is not None:
            self._observed.again(text, failed=False)

    def _stop(self) -> None:
        self._stopped = True
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
            return Ended(f"{name} was ended by signal {-killed.code}", "" if mute else _said(killed))
        noise = "\n".join(map(_said, (killed, *(one for one in members if one is not killed))))
        line = killed.broke.trace.rstrip().rpartition("\n")[2] if killed.broke else f"exit code {killed.code}"
        return Ended(f"{name} broke ({line})", noise)

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
        if self._observed is not None:
            self._observed.end()


def _said(member: _Member) -> str:
    """All that there is of a process that broke: its trace, and what native code has left on its stderr."""
    member.noise.seek(0)
    left = member.noise.read(_MOST_SHOWN).decode(errors="replace")
    return f"process {member.number}: {member.broke.trace if member.broke else ''}{left}"


def _error(said: Failed) -> LapwingError:
    if said.faults:
        return ConfigError(said.faults)
    return {2: UsageError, 3: Refused}.get(said.exit_code, Ended)(said.text)


def _scratch() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("noise"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
