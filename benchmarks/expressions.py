"""What the expressions of detections cost: nanoseconds an event, by their number, above decoding without any.

`python -m benchmarks.expressions` prints a table. Rounds are interleaved and the least is taken, because everything
else on the machine only adds.
"""

import argparse
from time import perf_counter

import numpy as np

from benchmarks import bars
from benchmarks.page import Bench, Section
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from flows.formats.simulated import simulate
from models.base import NONE_TIME
from models.rules.defaults import BASE
from models.rules.program import Program, compile_rules
from models.rules.threshold import Threshold

BATCH = 4096

FREE = (
    "failure",
    "action == 'login'",
    "success and status < 300",
    "error and not failure",
    "status in (500, 502, 503)",
)
TEXT = (
    "user_agent startswith 'Shop/'",
    "country in ('KP', 'RU', 'NL') and failure",
    "user_agent contains 'Android'",
    "ip in 203.0.113.0/24",
    "asn in (64512, 64513)",
    "latency_ms > 900.5",
    "app == 'ios' and app_version < '5.8'",
    "endpoint startswith '/identity/v2/manage'",
    "username endswith '@acme.example'",
    "factor == 'totp' and (reason is missing or reason == 'mfa_denied')",
)


def program_of(texts: list[str]) -> Program:
    """Detections that count what holds."""
    return compile_rules([Threshold(id=f"e{k}", where=text, count=True) for k, text in enumerate(texts)])


def programs() -> dict[str, Program | None]:
    """What is compared: no program, the base detections, and ever more expressions over ever more members."""
    many = [f"({TEXT[k % len(TEXT)]}) and status != {200 + k}" for k in range(50)]
    distinct = [Threshold(id=member, distinct=member) for member in ("session", "device", "user_agent")]
    return {
        "no program": None,
        "1, free": program_of(["failure"]),
        "base detections": compile_rules(BASE),
        "1, text": program_of([TEXT[0]]),
        "1, contains": program_of([TEXT[2]]),
        "10, free": program_of([f"{FREE[k % 5]} and status != {600 + k}" for k in range(10)]),
        "10, text": program_of(list(TEXT)),
        "50, text": program_of(many),
        "3 distinct members": compile_rules(distinct),
        "sum": compile_rules([Threshold(id="latency", sum="latency_ms")]),
    }


def batches(events: int, seed: int) -> list[RawBatch]:
    """Simulated events as a reader hands them over."""
    lines = b"".join(chunk.lines for chunk in simulate(events, seed, hours=0.5)).splitlines()
    made = []
    for first in range(0, len(lines) - BATCH + 1, BATCH):
        part = lines[first : first + BATCH]
        length = np.array([len(line) for line in part], np.int64)
        start = np.cumsum(length + 1) - length - 1
        made.append(
            RawBatch(
                "events", np.frombuffer(b"\n".join(part), np.uint8), start, length, np.arange(BATCH) + first,
                np.zeros(BATCH, np.int32), np.full(BATCH, NONE_TIME),
            )
        )  # fmt: skip
    return made


def measure(events: int, rounds: int, seed: int) -> dict[str, float]:
    """The least nanoseconds an event of each program."""
    limits, made, every = Limits(), batches(events, seed), programs()
    least = dict.fromkeys(every, float("inf"))
    for _ in range(rounds + 1):  # the first round compiles
        for name, program in every.items():
            began = perf_counter()
            for raw in made:
                decode(raw, limits, program)
            least[name] = min(least[name], (perf_counter() - began) / (len(made) * BATCH) * 1e9)
    return least


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.expressions", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=7)
    bench = Bench(parser)
    options = bench.arguments
    found = measure(options.events, options.rounds, options.seed)
    above = {name: spent - found["no program"] for name, spent in found.items() if name != "no program"}
    out = [f"{'expressions':20} {'ns/event':>9} {'above none':>11}"]
    out += [f"{name:20} {spent:9.0f} {spent - found['no program']:11.0f}" for name, spent in found.items()]
    print("\n".join(out))
    bench.write(
        Section(
            "expressions",
            "What expressions cost",
            "Decoding with the expressions of detections, by their number, above decoding without any; "
            "the least of the rounds.",
            "\n".join(out),
            {f"expressions.{name}": spent for name, spent in above.items()},
            bars.svg("Expressions, above decoding alone", "ns an event", [*above.items()]),
        )
    )


if __name__ == "__main__":
    main()
