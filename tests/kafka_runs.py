"""Lapwing between topics of its own: what is written to them, a run over them, and all that comes out."""

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows import detect, state_dir
from flows.commands.engine import mistake
from flows.config import Config, load
from flows.kafka_block import Topics
from flows.totals import RunResult
from tests import command
from tests.flow_under_test import START, Results
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Found, Record, produce, read, settle

KEYS = Topics.__struct_fields__
_GIVE_UP_S = 180.0


@dataclass
class Site:
    """Topics that nobody else uses, a configuration over them, and a state directory.

    `partitions` are those of every topic but the markers', of which there are as many as `sinks`; `counts` has others
    for single topics by their key (`scored`), `settings` their configuration. `keys` are further ones of the block
    `[kafka]`, tables among them; `config` is further TOML.
    """

    kafka: Endpoint
    folder: Path
    partitions: int = 2
    sinks: int = 2
    config: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prefix = uuid.uuid4().hex[:8]
        self.topics = {key: f"{self.prefix}.{key.replace('_', '-')}" for key in KEYS}
        counts = {"markers": self.sinks, **self.counts}
        self.kafka.make_all(
            {name: (counts.get(key, self.partitions), self.settings.get(key, {})) for key, name in self.topics.items()}
        )
        self.state = self.folder / "state"
        self._ended: set[str] = set()
        self.path = self.folder / "kafka.toml"
        self.write()

    def write(self, **keys: Any) -> None:
        """Write the configuration, with other keys under `[kafka]` if some are given."""
        self.keys = {**self.keys, **keys}
        block = {
            "bootstrap": self.kafka.bootstrap, "application": self.prefix, "sinks": self.sinks, **self.keys,
        }  # fmt: skip
        plain = {key: value for key, value in block.items() if not isinstance(value, Mapping)}
        tables = {key: value for key, value in block.items() if isinstance(value, Mapping)} | {"topics": self.topics}
        lines = ["[kafka]", *_toml(plain)]
        for name, table in tables.items():
            lines += [f"[kafka.{name}]", *_toml(table)]
        self.path.write_text("\n".join([*lines, self.config, ""]))

    @property
    def events(self) -> str:
        """The topic that is read."""
        return self.topics["events"]

    def produce(self, records: Iterable[Record]) -> None:
        """Write events."""
        produce(self.kafka.client(), self.events, records)

    def read(self, key: str, *, committed: bool = True) -> list[Found]:
        """All records of a topic, by partition and offset; after a run that has ended, all of that run's."""
        if committed and key in self._ended:
            settle(self.kafka.client(), self.topics[key])
            self._ended.remove(key)
        return read(self.kafka.client(), self.topics[key], committed=committed)

    def values(self, key: str) -> list[Any]:
        """The JSON values of a topic's records."""
        return [json.loads(found.value or b"null") for found in self.read(key)]

    def loaded(self, **flags: Any) -> Config:
        """The configuration, with keys of `[kafka]` on top."""
        return load(str(self.path), {f"kafka.{key}": value for key, value in flags.items()})

    def run(
        self,
        *,
        start: str = "earliest",
        until: str = "end",
        on_gap: str = "fail",
        close: bool = False,
        output: str | Path = detect.KAFKA,
        source: str | Path = detect.KAFKA,
        state: Path | None = None,
        stop: threading.Event | None = None,
    ) -> RunResult:
        """A run in this process. Raises what the user would be told, without the engine around it."""
        config = self.loaded(start=start, until=until, on_gap=on_gap)
        where = state or self.state
        parts, state_dir.RECOVERY_PARTS = state_dir.RECOVERY_PARTS, 8  # as in the command, for runs of both
        try:
            done = detect.run(
                config, str(source), str(output), str(where), close, "lapwing", stop or threading.Event()
            )  # fmt: skip
            self._ended = {*self.topics} - {"events"}
            return done
        except BaseException as error:  # a panic is no Exception
            if (told := mistake(error)) is not None:
                raise told from None
            raise
        finally:
            state_dir.RECOVERY_PARTS = parts

    def words(self, *more: str | Path, state: Path | None = None) -> list[str | Path]:
        """The words of the command after its name."""
        return [
            "detect", "--config", self.path, "--input", "kafka", "--output", "kafka", "--state", state or self.state,
            *more,
        ]  # fmt: skip

    def lapwing(self, *more: str | Path, **how: Any) -> subprocess.CompletedProcess[bytes]:
        """The real command, run to its end."""
        done = command.lapwing(*self.words(*more), **how)
        if done.returncode == 0:
            self._ended = {*self.topics} - {"events"}
        return done

    @contextmanager
    def running(self, *more: str | Path, state: Path | None = None, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
        """The real command, running; killed at the end if it still does."""
        with command.begun(*self.words(*more, state=state), **how) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def results(self) -> Results:
        """What the topics hold, in the form of `flow_under_test.results`."""
        lives: dict[str, list[tuple[int, int]]] = {}
        contents: dict[tuple[str, int], dict[str, Any]] = {}
        for alert in self.values("alerts"):
            exact(alert, lives, contents)
        windows = sorted(tuple(_bits(row.values())) for row in self.values("windows"))
        scored = [event["id"] for event in self.values("scored")]
        return Results(windows, lives, contents, scored, len(self.read("dead_letters")))

    def files(self, records: Iterable[Record]) -> Path:
        """Records as an input directory whose source partitions bear the names of the topic's."""
        root = self.folder / "files"
        for record in records:
            folder = root / self.events / str(record.partition)
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "events.ndjson").open("ab") as file:
                file.write((record.value or b"") + b"\n")
        return root


def exact(
    alert: dict[str, Any], lives: dict[str, list[tuple[int, int]]], contents: dict[tuple[str, int], dict[str, Any]]
) -> None:
    """Take up an alert, without what is said not to be exact."""
    uid, seq = alert["finding_info"]["uid"], alert["metadata"]["sequence"]
    lives.setdefault(uid, []).append((seq, alert["activity_id"]))
    del alert["metadata"]["processed_time"], alert["finding_info"]["created_time"]
    if alert["activity_id"] != 1:
        contents[uid, seq] = alert


def file_results(output: Path) -> Results:
    """What result files hold, in the form of `Site.results`."""
    lives: dict[str, list[tuple[int, int]]] = {}
    contents: dict[tuple[str, int], dict[str, Any]] = {}
    for line in (output / "alerts.ndjson").read_text().splitlines():
        exact(json.loads(line), lives, contents)
    table = pq.read_table(output / "windows.parquet")
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist(maps_as_pydicts="strict")
        for column in table.columns
    ]
    windows = sorted(tuple(_bits(row)) for row in zip(*columns, strict=True))
    scored = [json.loads(line)["id"] for line in (output / "scored.ndjson").read_text().splitlines()]
    return Results(windows, lives, contents, scored, len((output / "dead-letters.ndjson").read_bytes().splitlines()))


def records_of(lines: Mapping[str, list[tuple[float, bytes]]]) -> list[Record]:
    """A stream of `flow_under_test` as records, a partition for each of its own.

    A record bears the time of its event, a little later, so that it does not move the clock.
    """
    return [
        Record(line, f"{name}-{k}".encode(), (("trace", str(k).encode()),), int((START + at) * 1000) + 1, partition)
        for partition, name in enumerate(lines)
        for k, (at, line) in enumerate(lines[name])
    ]


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something holds; the value that says so."""
    end = time.monotonic() + _GIVE_UP_S
    while not (found := holds()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.1)
    return found


def _bits(values: Iterable[Any]) -> Iterator[str]:
    return (value.hex() if isinstance(value, float) else str(value) for value in values)


def _toml(table: Mapping[str, Any]) -> list[str]:
    return [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()]
