"""The real detection flow over a small stream full of attacks, and every way to disturb it.

Also the child that tests kill: `python -m tests.flow_under_test TROUBLE ARGUMENT...` is the `lapwing` command with the
trouble that a JSON object names (see `child`).
"""

import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main, run_main

from flows import detect, state_dir
from flows.config import Config
from flows.connectors.staged_lines import finish
from flows.connectors.window_sink import merge_windows
from flows.state_dir import known_sources, open_state
from flows.state_shape import state_identity

state_dir.RECOVERY_PARTS = 1  # type: ignore[misc]  # every epoch waits for the syncs of each, and epochs are short here
STRAY = 30
START = datetime(2026, 11, 23, 5, 0, 3, tzinfo=UTC).timestamp()
LATENESS_S = 5.0

CONFIG = """
[output]
window_quantile = 0.0
window_sample = 1.0

[state]
shards = {shards}

[[detector]]
type = "ewma"
alpha = 0.05
warm_up = 20
entity_warm_up = 2
guard = 0.98
accept_after = "5m"
floor_failures = 12
half_life = "10m"

[[detector]]
type = "half_space_trees"
trees = 5
height = 6
window = 20
warm_up = 20
guard = 0.95
accept_after = "3m"
half_life = "10m"

[[detection]]
type = "brute_force_user"

[[detection]]
type = "brute_force_ip"

[[detection]]
type = "password_spray_ip"

[[detection]]
type = "threshold"
id = "guessing"
by = ["ip", "user"]
where = "failure"
count = true
at_least = 9

[[detection]]
type = "threshold"
id = "crowd_at_endpoint"
by = ["endpoint", "ip"]
where = "failure"
distinct = "user"
window = "2m"
at_least = 8
unless = {{ where = "success", distinct = "user", times = 0.5 }}

[[detection]]
type = "deletion_surge"
dimension = "user"

[[detection]]
type = "deletion_surge"
dimension = "ip"

[[detection]]
type = "success_after_attack"
dimension = "user"

[[detection]]
type = "success_after_attack"
dimension = "ip"
at_least = 15

[[detection]]
type = "dead_letter_surge"
at_least = 20

[[detection]]
type = "source_silence"
after = "2m"
times = 2.0
history = "15m"

[[detection]]
type = "source_silence"
dimension = "tenant"
after = "2m"
times = 2.0
history = "15m"

[[detection]]
type = "traffic_spike"
dimension = "tenant"
at_least = 40
times = 1.5
z = 1.0
panes = 2

[[detection]]
type = "traffic_spike"
dimension = "endpoint"
at_least = 30
times = 1.5
z = 1.0
panes = 2

[[detection]]
type = "traffic_spike"
dimension = "ip"
at_least = 20
times = 1.5
z = 1.0
panes = 2

[[detection]]
type = "behaviour_anomaly"
dimension = "ip"
hits = 2
windows = 3
quantile = 0.8
score = 0.5
at_least = 3

[[detection]]
type = "behaviour_anomaly"
dimension = "user"
hits = 2
windows = 3
quantile = 0.8
score = 0.5
at_least = 3

[[detection]]
type = "behaviour_anomaly"
dimension = "endpoint"
hits = 2
windows = 3
quantile = 0.8
score = 0.5
at_least = 3
"""
KINDS = (
    "brute_force_user", "brute_force_ip", "password_spray_ip", "guessing", "crowd_at_endpoint",
    "deletion_surge_user", "deletion_surge_ip",
    "traffic_spike_tenant", "traffic_spike_endpoint", "traffic_spike_ip", "success_after_attack_user",
    "success_after_attack_ip", "dead_letter_surge", "source_silence_source", "source_silence_tenant",
    "behaviour_anomaly_ip", "behaviour_anomaly_user", "behaviour_anomaly_endpoint",
)  # fmt: skip


def config_file(folder: Path, shards: int = 2) -> Path:
    """The configuration: everything is kept, and so little warms it up that quantiles and spikes come early."""
    path = folder / "config.toml"
    path.write_text(CONFIG.format(shards=shards))
    return path


# The stream


def _event(rng: random.Random, at: float, **members: Any) -> dict[str, Any]:
    user = rng.randrange(12)
    event = {
        "time": datetime.fromtimestamp(START + at, UTC).isoformat(timespec="microseconds"),
        "tenant": "acme" if user else "other",
        "action": rng.choice(("login", "login", "token_issue", "api_call", "data_read")),
        "outcome": "failure" if rng.random() < 0.1 else "success",
        "user": f"u{user}",
        "ip": f"203.0.113.{user % 7}",
        "endpoint": rng.choice(("/login", "/token", "/api/v1/items")),
        "status": 200,
    }
    return event | members


def _attacks(rng: random.Random, begin: float) -> list[tuple[float, dict[str, Any]]]:
    """One of every kind, side by side and after each other, within about seven minutes."""
    found: list[tuple[float, dict[str, Any]]] = []

    def add(count: int, first: float, spread: float, member: Callable[[int], dict[str, Any]]) -> None:
        for i in range(count):
            at = begin + first + spread * rng.random()
            found.append((at, _event(rng, at, tenant="acme", **member(i))))

    failed = {"action": "login", "outcome": "failure", "status": 401, "endpoint": "/login"}
    add(14, 0, 40, lambda i: failed | {"user": "victim", "ip": f"198.51.100.{i}"})
    add(45, 30, 120, lambda i: failed | {"user": f"few{i % 3}", "ip": "192.0.2.66"})
    add(34, 60, 170, lambda i: failed | {"user": f"many{i % 21}", "ip": "192.0.2.77"})
    deleted = {"action": "account_delete", "outcome": "success", "status": 204, "endpoint": "/accounts"}
    add(9, 100, 100, lambda i: deleted | {"actor": "rogue", "target": f"gone{i}", "ip": "192.0.2.88"})
    called = {"action": "api_call", "outcome": "success", "endpoint": "/flood", "ip": "192.0.2.99"}
    add(130, 330, 50, lambda i: called | {"user": f"u{i % 12}"})
    signed_in = {"action": "login", "outcome": "success", "status": 200, "endpoint": "/login"}
    add(3, 20, 40, lambda i: signed_in | {"user": "victim", "ip": f"198.51.100.{i}"})
    add(2, 200, 40, lambda i: signed_in | {"user": f"many{i}", "ip": "192.0.2.77"})
    return found


def stream(seed: int, minutes: int = 32) -> dict[str, list[tuple[float, bytes]]]:
    """Lines by partition, each with its second.

    They are `dense`, `sparse`, `paused` (twelve minutes of nothing), `hushed` (after twenty minutes seven of nothing;
    all of its tenant) and `silent`. In `dense` there is a surge of dead letters in the middle of a pane, so that
    another order within lateness leaves them in it: they have no time of their own.
    """
    rng = random.Random(seed)
    length = minutes * 60.0
    names = ("dense", "sparse", "paused", "hushed", "silent")
    rows: dict[str, list[tuple[float, dict[str, Any] | bytes]]] = {name: [] for name in names}
    for name, count in (("dense", 18 * minutes), ("sparse", minutes), ("paused", 5 * minutes)):
        for _ in range(count):
            at = length * rng.random()
            if name != "paused" or not 200 < at < 920:
                rows[name].append((at, _event(rng, at)))
    for begin in (130.0, 0.75 * length):
        for at, event in _attacks(rng, begin):
            rows[rng.choice(("dense", "dense", "sparse"))].append((at, event))
    for _ in range(8 * minutes):
        at = length * rng.random()
        if not 1200 < at < 1620:
            rows["hushed"].append((at, _event(rng, at, tenant="third", user=f"h{rng.randrange(4)}")))
    rows["dense"] += [(1001 + 2 * rng.random(), b"no event: %d" % i) for i in range(STRAY)]
    for i in range(4):
        rows["dense"].append((length * rng.random(), b'{"time": ' + b"x" * i))
    lines: dict[str, list[tuple[float, bytes]]] = {}
    for name, mine in rows.items():
        mine.sort(key=lambda row: row[0])
        lines[name] = [
            (at, event if isinstance(event, bytes) else json.dumps({"id": f"{name}-{i}"} | event).encode())
            for i, (at, event) in enumerate(mine)
        ]
    return lines


def shuffled(lines: dict[str, list[tuple[float, bytes]]], seed: int) -> dict[str, list[tuple[float, bytes]]]:
    """Another order of every partition, in which no row is late."""
    rng = random.Random(seed)
    return {
        name: [row for _, row in sorted((row[0] + 0.98 * LATENESS_S * rng.random(), row) for row in mine)]
        for name, mine in lines.items()
    }


def write(folder: Path, lines: dict[str, list[tuple[float, bytes]]]) -> Path:
    """The input directory: a partition is a folder with one file."""
    for name, mine in lines.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "events.ndjson").write_bytes(b"".join(line + b"\n" for _, line in mine))
    return folder


# The flow, disturbed


@dataclass
class Disturbance:
    """What happens to the source: `abort_at` is the call of `next_batch` that aborts, `lazy` the share without items.

    With `beats_only` a partition gives its heartbeat and then nothing; `stop_at` sets the stop event at that call.
    """

    abort_at: int | None = None
    stop_at: int | None = None
    lazy: float = 0.0
    seed: int = 0
    beats_only: bool = False
    nap: float = 0.0
    die_after_s: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    calls: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.began = time.monotonic()

    def call(self, part: StatefulSourcePartition[Any, Any], first: bool) -> Iterable[Any]:
        """One `next_batch`, or what befalls instead."""
        self.calls += 1
        if self.calls == self.abort_at:
            raise AbortExecution
        if self.calls == self.stop_at:
            self.stop.set()
        if self.die_after_s and time.monotonic() - self.began > self.die_after_s:
            os._exit(9)
        if self.nap:
            time.sleep(self.nap)
        if not first and not self.stop.is_set() and (self.beats_only or self.rng.random() < self.lazy):
            return []
        return part.next_batch()


class _Part(StatefulSourcePartition[Any, Any]):
    def __init__(self, part: StatefulSourcePartition[Any, Any], disturbance: Disturbance) -> None:
        self._part, self._disturbance, self._first = part, disturbance, True

    def next_batch(self) -> Iterable[Any]:
        first, self._first = self._first, False
        return self._disturbance.call(self._part, first)

    def next_awake(self) -> datetime | None:
        return self._part.next_awake()

    def snapshot(self) -> Any:
        return self._part.snapshot()

    def close(self) -> None:
        self._part.close()


class Disturbed(FixedPartitionedSource[Any, Any]):
    """A source whose partitions play through a disturbance."""

    def __init__(self, source: FixedPartitionedSource[Any, Any], disturbance: Disturbance) -> None:
        self._source, self._disturbance = source, disturbance

    def list_parts(self) -> list[str]:
        return self._source.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> StatefulSourcePartition[Any, Any]:
        return _Part(self._source.build_part(step_id, for_part, resume_state), self._disturbance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def run(
    config: Config,
    source: Path,
    output: Path,
    *,
    batch_rows: int = 4096,
    workers: int = 1,
    state: Path | None = None,
    close: bool = True,
    disturbance: Disturbance | None = None,
    epoch: float = 0.0,
    secret: str | None = None,
) -> detect.Totals:
    """One run in this process, as `flows.detect.run` does it. After an abort nothing is finished, as after a crash."""
    disturbance = disturbance or Disturbance()
    os.environ[config.state.hash_seed_env] = secret or os.urandom(8).hex()
    config = _with_rows(config, batch_rows)
    kept = open_state(str(state), state_identity(config)) if state else None
    totals = detect.Totals()
    try:
        files = detect.make_source(
            config, str(source), disturbance.stop, close_at_end=close, known=known_sources(kept) if kept else ()
        )
        log = kept.log if kept else None
        flow = detect.build(
            config, Disturbed(files, disturbance), str(output), kept=kept is not None, totals=totals, log=log
        )
        recovery = RecoveryConfig(str(kept.recovery)) if kept else None  # type: ignore[no-untyped-call]
        every = timedelta(seconds=epoch)
        if workers == 1:
            run_main(flow, epoch_interval=every, recovery_config=recovery)  # type: ignore[no-untyped-call]
        else:
            cluster_main(  # type: ignore[no-untyped-call]
                flow, [], 0, epoch_interval=every, recovery_config=recovery, worker_count_per_proc=workers
            )
    finally:
        if kept:
            kept.close()
    if disturbance.abort_at is None or disturbance.calls < disturbance.abort_at:
        finish(str(output))
        merge_windows(str(output))
    return totals


def _with_rows(config: Config, batch_rows: int) -> Config:
    return msgspec.structs.replace(config, input=msgspec.structs.replace(config.input, batch_rows=batch_rows))


# What the promise speaks of


@dataclass
class Results:
    """What a run has published."""

    windows: list[tuple[Any, ...]]
    lives: dict[str, list[tuple[int, int]]]  # uid -> (seq, activity) in the order of the file
    contents: dict[tuple[str, int], dict[str, Any]]  # (uid, seq) -> what must be exact
    scored: list[str]
    dead: int


def results(output: Path) -> Results:
    """Read the result files; nothing is sorted away but the order of windows and of incidents."""
    table = pq.read_table(output / "windows.parquet")
    windows = sorted(zip(*(_bits(table[name].to_pylist()) for name in table.column_names), strict=True))
    lives: dict[str, list[tuple[int, int]]] = {}
    contents: dict[tuple[str, int], dict[str, Any]] = {}
    for line in (output / "alerts.ndjson").read_text().splitlines():
        alert = json.loads(line)
        uid, seq = alert["finding_info"]["uid"], alert["metadata"]["sequence"]
        lives.setdefault(uid, []).append((seq, alert["activity_id"]))
        # Not exact, and said to be: wall clock, the watermark of the create, and what an early create knows.
        del alert["metadata"]["processed_time"], alert["finding_info"]["created_time"]
        if alert["metadata"]["event_code"] == "dead_letter_surge":
            alert["evidences"] = len(alert["evidences"])  # by position, which is another in another order
        if alert["activity_id"] != 1:
            contents[uid, seq] = alert
    scored = [json.loads(line)["id"] for line in (output / "scored.ndjson").read_text().splitlines()]
    dead = len((output / "dead-letters.ndjson").read_text().splitlines())
    return Results(windows, lives, contents, scored, dead)


def _bits(values: list[Any]) -> list[str]:
    return [value.hex() if isinstance(value, float) else str(value) for value in values]


def same(found: Results, expected: Results) -> None:
    """Nothing is missing, nothing is twice, nothing differs."""
    assert len(found.windows) == len(set(found.windows)), "a window twice"
    assert set(found.windows) == set(expected.windows)
    assert found.lives == expected.lives
    for key, content in expected.contents.items():
        assert found.contents[key] == content
    assert len(found.scored) == len(set(found.scored)), "an event twice"
    assert set(found.scored) == set(expected.scored)
    assert found.dead == expected.dead


def child(trouble: dict[str, Any], arguments: list[str]) -> None:
    """The command in trouble.

    `nap` is slept before every item, `epoch` is an epoch's length, both in seconds; after `die_after_s` the process is
    gone. With `beats_only` the source gives heartbeats and nothing else. `die_in_snapshot` is the snapshot of the
    scored file in which the process is gone: those of the epoch's keyed state have been given by then. `die_in_append`
    is the frame of a shard's log of which the last bytes are missing when it is killed, `die_after_append` the one that
    is durable when it is, with nothing else of its epoch.
    """
    from flows import cli
    from flows.connectors.staged_lines import StagedLines

    make_source, snapshot = detect.make_source, StagedLines.snapshot
    disturbance = Disturbance(
        nap=trouble.get("nap", 0.0),
        beats_only=trouble.get("beats_only", False),
        die_after_s=trouble.get("die_after_s", 0.0),
    )
    snapshots = 0

    def disturbed(*args: Any, **kwargs: Any) -> Any:
        disturbance.began = time.monotonic()
        return Disturbed(make_source(*args, **kwargs), disturbance)

    def die(part: StagedLines) -> Any:
        nonlocal snapshots
        snapshots += part._name == "scored.ndjson"
        if snapshots == trouble.get("die_in_snapshot"):
            time.sleep(trouble.get("die_slowly", 0.0))
            os._exit(9)
        return snapshot(part)

    frames, sync = itertools.count(1), os.fdatasync

    def torn(file: int) -> None:
        appended = next(frames)  # of several threads
        if appended == trouble.get("die_in_append"):
            os.ftruncate(file, os.fstat(file).st_size - 7)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(file)
        if appended == trouble.get("die_after_append"):
            os.kill(os.getpid(), signal.SIGKILL)

    os.fdatasync = torn
    detect.make_source = disturbed  # type: ignore[assignment]
    detect.EPOCH = timedelta(seconds=trouble.get("epoch", 1.0))
    StagedLines.snapshot = die  # type: ignore[method-assign]
    sys.argv = ["lapwing", *arguments]
    cli.main()


if __name__ == "__main__":
    child(json.loads(sys.argv[1]), sys.argv[2:])
