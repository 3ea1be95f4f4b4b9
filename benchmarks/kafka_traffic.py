"""Traffic as it is sent live: each event bears the moment of its sending, attacks among them.

`python -m benchmarks.kafka_traffic BOOTSTRAP TOPIC RATE:SECONDS[,RATE:SECONDS ...]` prints, as JSON, when the last of
each phase was sent and when each attacked account's tenth failure was.
"""

import json
import sys
import time
from collections.abc import Iterator

from confluent_kafka import Producer

from flows.formats.simulated import simulate

ATTACK_EVERY_S = 0.5
FAILURES = 10
"""The limit of `brute_force_user`."""
_TEMPLATES = 50_000
_TICK_S = 0.01
_AT_ONCE = 10_000


def main(bootstrap: str, topic: str, phases: str) -> None:
    """Send all phases."""
    producer = Producer({
        "bootstrap.servers": bootstrap, "linger.ms": 5, "compression.type": "lz4", "acks": "all",
        "queue.buffering.max.messages": 1_000_000,
    })  # fmt: skip
    tails, failures = _tails(), _failures()
    crossed: dict[str, float] = {}
    ends: list[float] = []
    number, next_attack, attacks = 0, time.time() + ATTACK_EVERY_S, 0
    for phase in phases.split(","):
        rate, seconds = map(float, phase.split(":"))
        began, sent = time.time(), 0
        while (passed := time.time() - began) < seconds:
            due = min(int(min(passed + _TICK_S, seconds) * rate), sent + _AT_ONCE)
            for _ in range(due - sent):
                _send(producer, topic, b'{"time":%d,%b' % (time.time_ns() // 1000, tails[number % len(tails)]))
                number += 1
            sent = due
            if time.time() >= next_attack:
                name = f"victim-{attacks}"
                for at in range(FAILURES):
                    moment = time.time()
                    _send(producer, topic, b'{"time":%d,%b' % (int(moment * 1e6), failures % (name.encode(), at)))
                crossed[name] = moment
                attacks, next_attack = attacks + 1, next_attack + ATTACK_EVERY_S
            producer.poll(0)
            if sent >= int((time.time() - began) * rate):
                time.sleep(_TICK_S)
        ends.append(time.time())
    producer.flush()
    print(json.dumps({"events": number + attacks * FAILURES, "ends": ends, "crossed": crossed}))


def _send(producer: Producer, topic: str, value: bytes) -> None:
    while True:
        try:
            return producer.produce(topic, value)
        except BufferError:
            producer.poll(0.1)


def _tails() -> list[bytes]:
    """Simulated events without their time: people who fail now and then, and no attacks."""

    def lines() -> Iterator[bytes]:
        for chunk in simulate(_TEMPLATES, 5, attacks=()):
            yield from chunk.lines.splitlines()

    return [line.split(b",", 1)[1] for line in lines() if b'"failure"' not in line]


def _failures() -> bytes:
    return b'"action":"login","outcome":"failure","username":"%b","ip":"198.51.100.%d","endpoint":"/v2/auth/login"}'


if __name__ == "__main__":
    main(*sys.argv[1:])
