"""The yardstick: what it costs only to decode audit events into typed objects, with the fastest safe decoder there is.

Every member of the format is a typed field; the objects of a batch of 4,096 live until the batch ends, as they would in
any program that looks at them together. Reading, splitting into lines and everything after decoding is left out.
"""

import argparse
import time
from collections.abc import Sequence

import msgspec

BATCH = 4_096


class Change(msgspec.Struct, gc=False):
    """One changed member of a profile."""

    path: str | None = None
    old: str | None = None
    new: str | None = None


class AuditEvent(msgspec.Struct, gc=False):
    """The input format, all members."""

    time: str | int | float
    id: str | None = None
    received: str | int | float | None = None
    tenant: str | None = None
    action: str | None = None
    outcome: str | None = None
    reason: str | None = None
    error_code: str | None = None
    error: str | None = None
    user: str | None = None
    username: str | None = None
    actor: str | None = None
    actor_type: str | None = None
    target: str | None = None
    session: str | None = None
    api_key: str | None = None
    request_id: str | None = None
    factor: str | None = None
    ip: str | None = None
    ip_type: str | None = None
    asn: int | None = None
    country: str | None = None
    city: str | None = None
    lat: float | None = None
    lon: float | None = None
    device: str | None = None
    user_agent: str | None = None
    app: str | None = None
    app_version: str | None = None
    method: str | None = None
    endpoint: str | None = None
    status: int | None = None
    latency_ms: float | None = None
    changes: list[Change] | None = None


def run(lines: Sequence[bytes]) -> float:
    """Seconds to decode the lines, one after another."""
    decode = msgspec.json.Decoder(AuditEvent).decode
    began = time.perf_counter()
    for at in range(0, len(lines), BATCH):
        batch = [decode(line) for line in lines[at : at + BATCH]]
        del batch
    return time.perf_counter() - began


def main() -> None:
    """Print events a second, the median of five runs."""
    from flows.formats.simulated import simulate  # no part of the yardstick
    from models.simulation.attacks.plan import WELL_FORMED

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    lines = [
        line
        for chunk in simulate(arguments.events, arguments.seed, attacks=WELL_FORMED)
        for line in chunk.lines.splitlines()
    ]
    seconds = sorted(run(lines) for _ in range(5))[2]
    print(f"typed decode: {len(lines) / seconds:,.0f} events/s, {seconds / len(lines) * 1e9:,.0f} ns/event")


if __name__ == "__main__":
    main()
