"""The least a Python program can do with the same events: a dict each, and for three keys a count and a mean.

No windows over disorder, no distinct counts, no incidents, no recovery, nothing written: what a hand-written script
costs that only counts minutes by address, endpoint and account, and smooths the counts exponentially.
"""

import argparse
import time
from collections.abc import Sequence

import orjson

MEMBERS = ("ip", "endpoint", "user")
_ALPHA = 0.01
_MINUTE = 16  # characters of "2026-11-02T00:00"


def run(lines: Sequence[bytes]) -> float:
    """Seconds for the lines."""
    known: dict[tuple[str, str], list[float | str]] = {}
    began = time.perf_counter()
    strange = 0
    for line in lines:
        event = orjson.loads(line)
        minute = event["time"][:_MINUTE]
        for member in MEMBERS:
            value = event.get(member)
            if value is None:
                continue
            state = known.get((member, value))
            if state is None:
                known[member, value] = [minute, 1, 0.0, 0.0]
            elif state[0] == minute:
                state[1] += 1
            else:
                count, mean, square = state[1:]
                strange += count > 200 and count > 4 * mean
                state[:] = minute, 1, mean + _ALPHA * (count - mean), square + _ALPHA * (count * count - square)
    return time.perf_counter() - began


def main() -> None:
    """Print events a second of one run."""
    from flows.formats.simulated import simulate  # no part of the yardstick
    from models.simulation.attacks.plan import WELL_FORMED

    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain_loop", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chunks = simulate(arguments.events, arguments.seed, attacks=WELL_FORMED)
    lines = [line for chunk in chunks for line in chunk.lines.splitlines()]
    seconds = run(lines)
    print(f"plain loop: {len(lines) / seconds:,.0f} events/s, {seconds / len(lines) * 1e9:,.0f} ns/event")


if __name__ == "__main__":
    main()
