"""`make chaos`: the flow over a real Kafka, killed and cut off at the worst moments, then compared with a quiet run."""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flows.formats.simulated import simulate
from flows.kafka_block import Topics
from tests.command import LAPWING, children
from tests.kafka.cluster import Broker, Cluster
from tests.kafka.outcome import Outcome, differences, make_topics, outcome, topics_of
from tests.kafka.records import Record, ends, produce
from tests.kafka.trouble import PLACES
from tests.prepared import started

PARTITIONS = 3
NAP = 0.1
"""Seconds before each item: the whole input lasts minutes then, and most runs do not see its end."""
TRANSACTION_TIMEOUT = "10s"
BROKER = {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
}


class Chaos:
    """One run in trouble and one without over the same events."""

    def __init__(self, kafka: Cluster, seed: int, events: int, folder: Path, quiet: bool = False) -> None:
        self.kafka, self.folder, self.quiet = kafka, folder, quiet
        self.random = random.Random(seed)
        self.kills = 0
        self.run = f"chaos{seed}-{uuid.uuid4().hex[:6]}"
        self.topics = topics_of(self.run)
        self.calm = topics_of(f"{self.run}-calm", self.topics.events)
        make_topics(kafka, self.topics, PARTITIONS)
        make_topics(kafka, self.calm, PARTITIONS)
        records = _records(seed, events)
        self.events = len(records)
        self._later = records[len(records) * 3 // 4 :]
        produce(kafka.client(), self.topics.events, records[: len(records) - len(self._later)])

    def wanted(self) -> Outcome:
        """What a run without trouble leaves, over all events."""
        self._send(len(self._later))
        code, error = self._wait(self._start("calm", self.calm, {}))
        if code:
            raise RuntimeError(f"the quiet run failed with {code}: {error}")
        return outcome(self.kafka, self.calm)

    def kill_at(self, place: str, at: int, **more: Any) -> None:
        """The process is gone by itself at a place in its own code."""
        code, error = self._wait(self._start("chaos", self.topics, {"die": place, "at": at, "nap": NAP} | more))
        self._note(f"gone at {place} {at}{' with heartbeats only' * bool(more)}", code, error)

    def kill_after(self, seconds: float) -> None:
        """`kill -9` at some moment, which may lie in the start."""
        child = self._start("chaos", self.topics, {"nap": NAP})
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
        self._kill(child)
        self._note(f"kill -9 after {seconds:.2f} s", *self._wait(child))

    def terminate_after(self, seconds: float) -> None:
        """SIGTERM: the epoch is finished."""
        child = self._start("chaos", self.topics, {"nap": NAP})
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
        child.send_signal(signal.SIGTERM)
        self._note(f"SIGTERM after {seconds:.2f} s", *self._wait(child))

    def freeze(self, seconds: float) -> bool:
        """SIGSTOP for longer than a transaction may take: an open one is aborted meanwhile, and the run must stop.

        Returns whether it did. It goes on if none was open.
        """
        child = self._begun()
        child.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        child.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)
        fenced = child.poll() == 1
        self._kill(child)
        self._note(f"frozen for {seconds:.0f} s{'' if fenced else ', then kill -9'}", *self._wait(child))
        return fenced

    def stop_broker(self, seconds: float) -> None:
        """The only broker is stopped in good order under the flow and comes back: nobody counts as idle meanwhile.

        It is not killed: a single node that was (Kafka 4.3.1) takes partitions without a leader for deleted ones while
        it starts, and leaves out the markers of a transaction that it aborts. Then what was aborted can be read.
        """
        child = self._begun()
        self.kafka.stop()
        back = time.monotonic() + seconds
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            self._note("its run, without a broker", *self._wait(child))
            child = self._start("chaos", self.topics, {"nap": NAP})
        time.sleep(max(0.0, back - time.monotonic()))
        self.kafka.start()
        time.sleep(4 * self.random.random())
        self._kill(child)
        self._note(f"broker gone for {seconds:.0f} s, then kill -9", *self._wait(child))

    def kill_broker(self, number: int, seconds: float) -> None:
        """`kill -9` of one of three brokers under the flow, which goes on, and then of the flow."""
        child = self._begun()
        self.kafka.kill(number)
        time.sleep(seconds)
        self._kill(child)
        self._note(f"broker {number} of {len(self.kafka.nodes)} killed, then kill -9", *self._wait(child))
        self.kafka.start(number)

    def kill_one_of_two(self) -> None:
        """The flow on two processes while the last events come: one is killed, all start again and go on."""
        with self._command("chaos", self.topics, "--processes", "2") as flow:
            pace = max(1, len(self._later) // 60)
            while len(own := children(flow.pid)) < 2 and flow.poll() is None:
                time.sleep(0.2)
            for tick in range(60):
                self._send(pace)
                time.sleep(0.25)
                if tick == 30:
                    os.kill(self.random.choice(own), signal.SIGKILL)
                    self.kills += 1
            flow.send_signal(signal.SIGTERM)
            self._note("one of two processes killed, all started again, SIGTERM", *self._wait(flow))

    def finish(self) -> Outcome:
        """Run to the end."""
        self._send(len(self._later))
        code, error = self._wait(self._start("chaos", self.topics, {}))
        self._note("to the end", code, error)
        if code:
            raise RuntimeError(f"the last run failed with {code}: {error}")
        return outcome(self.kafka, self.topics)

    def _send(self, count: int) -> None:
        """Produce the next of the events that come later."""
        if now := self._later[:count]:
            produce(self.kafka.client(), self.topics.events, now)
            self._later = self._later[count:]

    def _start(self, name: str, topics: Topics, trouble: dict[str, Any]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.kafka.trouble", json.dumps(trouble), *self._words(name, topics)]
        return started([*command, "--until", "end", "--close"], stderr=subprocess.PIPE, text=True)

    def _command(self, name: str, topics: Topics, *more: str) -> subprocess.Popen[str]:
        """The real command, without an end."""
        return started([LAPWING, *self._words(name, topics), *more], stderr=subprocess.PIPE, text=True)

    def _words(self, name: str, topics: Topics) -> list[str]:
        config = self.folder / f"{name}.toml"
        lines = [f'{key} = "{value}"' for key, value in msgspec.structs.asdict(topics).items()]
        config.write_text(
            f'[kafka]\nbootstrap = "{self.kafka.bootstrap}"\napplication = "{topics.scored}"\n'
            f'transaction_timeout = "{TRANSACTION_TIMEOUT}"\n\n[kafka.topics]\n' + "\n".join(lines)
        )
        arguments = ["detect", "--config", str(config), "--input", "kafka", "--output", "kafka", "--quiet"]
        return [*arguments, "--state", str(self.folder / name), "--start", "earliest"]

    def _begun(self) -> subprocess.Popen[str]:
        """A run that has written something, or has ended."""
        child, before = self._start("chaos", self.topics, {"nap": NAP}), self._written()
        while child.poll() is None and self._written() == before:
            time.sleep(0.2)
        time.sleep(1.5 * self.random.random())
        return child

    def _written(self) -> int:
        return sum(end for _, end in ends(self.kafka.client(), self.topics.markers).values())

    def _kill(self, child: subprocess.Popen[str]) -> None:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)

    def _wait(self, child: subprocess.Popen[str]) -> tuple[int, str]:
        _, error = child.communicate()
        return child.returncode, error.strip().splitlines()[-1] if error.strip() else ""

    def _note(self, what: str, code: int, error: str) -> None:
        self.kills += code in (9, -9)
        if not self.quiet:
            print(f"{what}: exit {code}{f' ({error})' if error and code not in (9, -9) else ''}", flush=True)


def _records(seed: int, events: int) -> list[Record]:
    records = []
    lines = (line for chunk in simulate(events, seed) for line in chunk.lines.splitlines())
    for number, line in enumerate(lines):
        event = json.loads(line)
        key = (event.get("ip") or event.get("user") or "").encode()
        value = b"no event" if number % 997 == 0 else line
        records.append(Record(value, key, (("n", b"%d" % number),), None, zlib.crc32(key) % PARTITIONS))
    return records


def trouble(chaos: Chaos, kills: int) -> None:
    """Kills at aimed and at random places until there were enough, with a loop of crashes and frozen processes."""
    aimed = [(place, chaos.random.randint(1, most)) for place, most in PLACES.items()]
    while chaos.kills < kills:
        dice = chaos.random.random()
        if aimed:
            chaos.kill_at(*aimed.pop())
        elif dice < 0.35:
            chaos.kill_after(2 + 6 * chaos.random.random())
        elif dice < 0.55:
            chaos.kill_at("after_commit", chaos.random.randint(1, 12))
        elif dice < 0.75:  # crash, empty first epoch, crash
            chaos.kill_at("after_commit", chaos.random.randint(2, 8))
            chaos.kill_at("snapshot", chaos.random.randint(2, 6), beats_only=True)
            chaos.kill_at(chaos.random.choice(("before_commit", "after_commit")), chaos.random.randint(1, 4))
        elif dice < 0.9:  # crashes that follow each other before an epoch is durable
            for _ in range(3):
                chaos.kill_at(chaos.random.choice(("write", "before_commit", "after_commit")), 1)
        else:
            chaos.terminate_after(4 + 4 * chaos.random.random())


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lapwing-chaos-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Say what is done; the last line is the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--away", type=float, default=120, help="seconds for which the only broker is away")
    arguments = parser.parse_args()
    kills, wrong = 0, list[str]()
    for make, hurt in ((Broker, one_broker), (Cluster, three_brokers)):
        with make(config=BROKER) as kafka, _folder() as folder:
            chaos = Chaos(kafka, arguments.seed, arguments.events, folder)
            print(f"seed {arguments.seed}, {len(kafka.nodes)} broker(s): {chaos.events:,} events in {PARTITIONS} "
                  "partitions", flush=True)  # fmt: skip
            hurt(chaos, arguments)
            left, wanted = chaos.finish(), chaos.wanted()
            print(f"a quiet run: {wanted.scored.total():,} scored, {wanted.dead.total():,} dead letters, "
                  f"{len(wanted.incidents)} incidents, {wanted.alerts.total()} alerts", flush=True)  # fmt: skip
            found = differences(left, wanted, chaos.events)
            print("as the quiet run" if not found else "\n".join(found), flush=True)
            wrong, kills = wrong + found, kills + chaos.kills
    verdict = "EXACTLY ONCE" if not wrong else "NOT exactly once"
    print(f"{verdict}: {kills} processes killed, seed {arguments.seed}")
    return 1 if wrong else 0


def one_broker(chaos: Chaos, arguments: argparse.Namespace) -> None:
    """What a flow goes through beside a single broker."""
    trouble(chaos, arguments.kills)
    if not any(chaos.freeze(13) for _ in range(4)):
        raise RuntimeError("no run that slept through its transaction was stopped")
    for seconds in (2, 8, arguments.away):
        chaos.stop_broker(seconds)
    chaos.kill_one_of_two()


def three_brokers(chaos: Chaos, arguments: argparse.Namespace) -> None:
    """Each of three is killed once."""
    for number in chaos.kafka.nodes:
        chaos.kill_broker(number, 6 + 4 * chaos.random.random())


if __name__ == "__main__":
    sys.exit(main())
