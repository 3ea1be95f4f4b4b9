"""The forwarding dataflows: what Lapwing has written, to where people look. Wiring only.

Each destination has a dataflow of its own, on a thread of its own, with its own place in what it reads. Bytewax asks
for that: the epochs of a dataflow go on only when each of its sinks is done, so that in one dataflow with several
destinations the one that is away would hold up all. What a dataflow has is one source partition, the filters, and one
sink partition that waits for as long as it takes; while it waits nothing further is read, and nothing piles up: the
records stay where they are, in the topic or the file.

An epoch is a flush. What an epoch has read is delivered, or refused for good and kept as a dead letter, before the
sink's snapshot ends it; only then the place behind it is durable. So a record is delivered at least once, and what a
crash makes to be sent again has the same id as before.

Threads and not processes: they wait for the network nearly all of their time. A core forwards some 40,000 scored
events a second as they are, and some 4,000 in a form that has to be made of each (CEF), all destinations of a process
together. For more, `--only` starts a process for some of the destinations.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import FixedPartitionedSink
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from flows.caught import hear
from flows.config import Config
from flows.connectors.destination_sink import DestinationSink, Stopped
from flows.connectors.destinations.clients import client
from flows.connectors.forward_files import FileLines
from flows.connectors.forward_kafka import TopicRecords
from flows.connectors.forward_progress import ForwardProgress
from flows.connectors.kafka_client import topics
from flows.connectors.kafka_lines import LineSender
from flows.connectors.output_directory import ALERTS, SCORED
from flows.connectors.refusals import FILE, FileRefusals, Refusals, TopicRefusals
from flows.durable import cannot_write
from flows.durations import microseconds
from flows.errors import InputError, UsageError
from flows.formats.forwarded import Read, Selected
from flows.forward_block import Destination
from flows.state_dir import StateDir, open_state
from flows.steps.select import select

DATAFLOW: Final = "lapwing_forward"
KAFKA: Final = "kafka"
STOP_S: Final = 20.0
"""How long a stop waits for answers that are under way: less than the 30 s after which Kubernetes kills."""
_LOOK_S: Final = 0.2
_MEASURE_S: Final = 1.0
_FILES: Final = {"alerts": ALERTS, "scored": SCORED}


class Destined(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one destination's records since the start. `behind` is -1 where it is not known."""

    id: str
    type: str
    read: int
    filtered: int
    sent: int
    sent_bytes: int
    batches: int
    refused: int
    retries: int
    behind: int
    failing: str


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done. `unfinished` are destinations that did not answer within the time a stop leaves them."""

    destinations: tuple[Destined, ...]
    seconds: float
    interrupted: bool
    unfinished: tuple[str, ...] = ()


def build(
    one: Destination, source: FixedPartitionedSource[Read, Any], sink: FixedPartitionedSink[Selected, Any]
) -> Dataflow:
    """The dataflow of one destination. Step ids are the identity of saved state: never rename them."""
    flow = Dataflow(DATAFLOW)
    read = op.input("source", flow, source)
    selected = op.map("select", read, partial(select, one=one))
    op.output("destination", op.map("keyed", selected, lambda item: ("destination", item)), sink)
    return flow


class Job:
    """One destination: its dataflow, its place, and the thread that it runs on."""

    def __init__(
        self,
        config: Config,
        one: Destination,
        source: str,
        state: str | None,
        stop: threading.Event,
        follow: bool,
        dead_letters: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.one, self.progress = one, ForwardProgress(one.id)
        self.failures: list[BaseException] = []
        self._config, self._source, self._state, self._stop, self._follow = config, source, state, stop, follow
        self._dead_letters, self._tell = dead_letters, tell
        self._client = client(one)
        self._opened: FileLines | TopicRecords | None = None
        self.thread = threading.Thread(target=self._run, name=one.id, daemon=True)

    @property
    def result(self) -> Destined:
        """The counts as they are."""
        seen = self.progress
        return Destined(
            id=self.one.id, type=str(self.one.__struct_config__.tag), read=seen.read, filtered=seen.filtered,
            sent=seen.sent, sent_bytes=seen.sent_bytes, batches=seen.batches, refused=seen.refused,
            retries=seen.retries, behind=seen.behind, failing=seen.failing,
        )  # fmt: skip

    def _run(self) -> None:
        try:
            with self._kept() as kept, self._refusals() as refusals:
                self._flow(kept, refusals)
        except BaseException as error:  # noqa: BLE001 - a panic is no Exception, and `run` raises it
            if not self.failures:
                self.failures.append(error)

    def measure(self) -> None:
        """Bring up to date how far behind the destination is."""
        if self._opened is not None:
            self._opened.measure()

    def _flow(self, kept: StateDir | None, refusals: Refusals) -> None:
        source = self._opened = self._open()
        sink = DestinationSink(self.one, self._client, refusals, self.progress, self._stop, self._tell)
        flow = build(self.one, source, sink)
        hear(flow, self.failures.append)
        recovery = RecoveryConfig(str(kept.recovery)) if kept else None  # type: ignore[no-untyped-call]
        try:
            run_main(  # type: ignore[no-untyped-call]
                flow, epoch_interval=timedelta(microseconds=microseconds(self.one.flush)), recovery_config=recovery
            )
        finally:
            source.finish()
            self._client.close()

    def _open(self) -> FileLines | TopicRecords:
        stop, progress, kafka = self._stop, self.progress, self._config.kafka
        if self._source == KAFKA:
            names = read_by(self._config, self.one)
            return TopicRecords(kafka, names, self.one.id, not self._follow, stop, progress, self._tell)
        path = file_of(self._source, self.one)
        return FileLines(path, path.name, self._follow, stop, progress)

    @property
    def told(self) -> dict[str, str]:
        """What would be sent where; of a secret URL the variable it stands in."""
        one = self.one
        where = getattr(one, "url", "") or getattr(one, "address", "") or f"${getattr(one, 'url_env', '')}"
        names = read_by(self._config, one)
        topic = f"topic{'s' * (len(names) > 1)} {', '.join(names)}"
        return {
            "id": one.id,
            "type": str(one.__struct_config__.tag),
            "from": one.kind,
            "source": topic if self._source == KAFKA else str(file_of(self._source, one)),
            "form": one.form,
            "to": where,
        }

    @contextmanager
    def _kept(self) -> Iterator[StateDir | None]:
        if self._state is None:
            yield None
            return
        identity = {"dataflow": DATAFLOW, "from": self.one.kind, "input": KAFKA if self._source == KAFKA else "files"}
        with open_state(str(Path(self._state) / self.one.id), identity) as kept:
            yield kept

    @contextmanager
    def _refusals(self) -> Iterator[Refusals]:
        body = self._config.output.dead_letter_body
        if self._source == KAFKA:
            with LineSender(self._config.kafka, topic=self._config.kafka.topics.forward_dead_letters) as sender:
                yield TopicRefusals(sender, body)
            return
        found = FileRefusals(self._dead_letters, body)
        try:
            yield found
        finally:
            found.close()


def file_of(source: str, one: Destination) -> Path:
    """The file that a destination reads: the input itself, or the one of a directory of results.

    Raises
    ------
    UsageError
        A directory of results has no raw events.
    """
    path = Path(source)
    if not path.is_dir():
        return path
    if one.kind not in _FILES:
        raise UsageError(f"{one.id}: is from events, and the results in {source} have none: give the file of events")
    return path / _FILES[one.kind]


def read_by(config: Config, one: Destination) -> tuple[str, ...]:
    """The topics that a destination is from: of raw events those of formats too."""
    return (getattr(config.kafka.topics, one.kind), *(config.topics_beside if one.kind == "events" else ()))


def chosen(config: Config, only: Sequence[str]) -> tuple[Destination, ...]:
    """The destinations of a run: all of them, or those that are named.

    Raises
    ------
    UsageError
        There is none, or none of that name.
    """
    if not config.destination:
        raise UsageError("no destination: the configuration needs a [[destination]] (docs/forwarding.md has examples)")
    ids = [one.id for one in config.destination]
    if unknown := [name for name in only if name not in ids]:
        raise UsageError(f"no destination {', '.join(unknown)}; there is: {', '.join(ids)}")
    return tuple(one for one in config.destination if not only or one.id in only)


def run(
    config: Config,
    source: str,
    *,
    stop: threading.Event,
    state: str | None = None,
    only: Sequence[str] = (),
    follow: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[Sequence[ForwardProgress]], None] = lambda seen: None,
) -> Forwarded:
    """Forward until the input ends or `stop` is set. The end of a followed input never comes.

    Raises
    ------
    LapwingError
        The input, the state or the dead letters failed for one destination; the others have been stopped in order.
    """
    began = time.monotonic()
    jobs = prepared(config, source, stop=stop, state=state, only=only, follow=follow, tell=tell)
    if source == KAFKA:
        all_there(config, [job.one for job in jobs])
    for job in jobs:
        job.thread.start()
    unfinished = _watched(jobs, stop, on_progress)
    for job in jobs:
        for error in job.failures[:1]:
            if not isinstance(error, Stopped):
                raise error
    return Forwarded(
        destinations=tuple(job.result for job in jobs),
        seconds=time.monotonic() - began,
        interrupted=stop.is_set(),
        unfinished=unfinished,
    )


def prepared(
    config: Config,
    source: str,
    *,
    stop: threading.Event,
    state: str | None,
    only: Sequence[str],
    follow: bool,
    tell: Callable[[str], None],
) -> list[Job]:
    """The jobs of a run, none of them begun; all that is missing is told at once."""
    wanted = chosen(config, only)
    if source != KAFKA:
        kinds = {one.kind for one in wanted}
        if not Path(source).exists() and not follow:
            raise InputError(f"{source}: no such file or directory")
        if not Path(source).is_dir() and len(kinds) > 1:
            raise UsageError(f"{source}: one file cannot be {' and '.join(sorted(kinds))}: choose with --only")
        for one in wanted:
            file_of(source, one)
    known = {rule.id for rule in config.detection}
    for one in wanted:
        if strange := [name for name in one.detections if name not in known]:
            tell(f"{one.id}: this configuration has no detection {', '.join(strange)}; is that a mistake?")
    if state is not None:
        try:
            Path(state).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(Path(state), error) from error
    dead_letters = Path(state or ".") / FILE
    jobs, faults = [], []
    for one in wanted:
        try:
            jobs.append(Job(config, one, source, state, stop, follow, dead_letters, tell))
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))
    return jobs


def all_there(config: Config, wanted: Sequence[Destination]) -> None:
    """Say beforehand which topics do not exist, with the commands that make them.

    Raises
    ------
    InputError
        All of them in one, or no broker answers.
    """
    kafka = config.kafka
    names = dict.fromkeys(name for one in wanted for name in read_by(config, one))
    names[kafka.topics.forward_dead_letters] = None
    found = topics(kafka, names)
    if lacking := [name for name in names if name not in found]:
        make = f"kafka-topics.sh --bootstrap-server {kafka.bootstrap} --create --topic"
        raise InputError("\n".join(f"no topic {name}; it is made by: {make} {name}" for name in lacking))


def _watched(
    jobs: Sequence[Job], stop: threading.Event, on_progress: Callable[[Sequence[ForwardProgress]], None]
) -> tuple[str, ...]:
    """Wait for all of them. One that fails stops the others; after a stop nobody is waited for very long."""
    give_up = float("inf")
    measured = time.monotonic()
    while running := [job for job in jobs if job.thread.is_alive()]:
        running[0].thread.join(_LOOK_S)
        if time.monotonic() > measured + _MEASURE_S:
            measured = time.monotonic()
            for job in running:
                job.measure()
        on_progress([job.progress for job in jobs])
        if any(job.failures for job in jobs):
            stop.set()
        if stop.is_set():
            give_up = min(give_up, time.monotonic() + STOP_S)
        if time.monotonic() > give_up:
            return tuple(job.one.id for job in running)
    return ()
