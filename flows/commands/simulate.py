"""`lapwing simulate`: realistic traffic with labelled attacks."""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer

from flows.commands.console import result, say
from flows.commands.moments import length, micros
from flows.commands.options import ConfigFile, Json, Quiet
from flows.config import load
from flows.errors import UsageError


def simulate(
    events: Annotated[int, typer.Option("--events", min=1, max=10_000_000_000, metavar="N", help="How many events.")],
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, metavar="S", help="Equal seeds, equal bytes.")],
    output: Annotated[
        str,
        typer.Option("--output", metavar="PATH|kafka", help="File to write, also .gz and .zst; - is stdout."),
    ],
    hours: Annotated[
        float | None,
        typer.Option("--hours", min=0.01, max=87_600, help="Event time covered; left out, it follows from N."),
    ] = None,
    days: Annotated[float | None, typer.Option("--days", min=0.001, max=3_650, help="The same in days.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TIME", help="First moment, as 2026-11-07 (UTC) or 2026-11-07T08:00:00+01:00."),
    ] = None,
    users: Annotated[
        int | None, typer.Option("--users", min=50, max=500_000, help="Size of the population; follows from N.")
    ] = None,
    attacks: Annotated[
        str, typer.Option("--attacks", metavar="KINDS", help="all, none, or kinds with commas between them.")
    ] = "all",
    attack_every: Annotated[
        str | None,
        typer.Option(
            "--attack-every",
            metavar="TIME|COUNT",
            help="One attack in such a time ('20m'), or so many in all ('30'); left out, one in 10,000 events.",
        ),
    ] = None,
    no_attacks: Annotated[bool, typer.Option("--no-attacks", help="The same as --attacks none.")] = False,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.1, max=10_000_000, help="Events a second to a topic; left out, at full speed."),
    ] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="FILE", help="Where the labels go: PATH.truth.ndjson for a file.")
    ] = None,
    config: ConfigFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write realistic traffic, and the attacks hidden in it to PATH.truth.ndjson.

    To Kafka it goes as messages of the topic of events, keyed by user or address, to the brokers of --config.

    Three tenants in three time zones; people with phones that change their address, offices and carriers that share
    one, programs, weekends, a release each week. Attacks begin after the first quarter and take at most 15 % of the
    events. The last kinds below are behaviour that no threshold sees.

    \b
    Kinds of attack:
      brute_force              password_spray      credential_stuffing
      distributed_brute_force  distributed_spray   slow_spray
      takeover                 deletion_surge      reset_surge
      traffic_spike            error_surge         dead_letter_surge
      scraper  mix_turn  night_reads  endpoint_pattern

    \b
    Examples:
      lapwing simulate --events 300000 --seed 7 --output demo/events.ndjson
      lapwing simulate --events 1000 --seed 7 --output - | head
      lapwing simulate --events 300000 --seed 7 --output kafka --rate 5000 --truth truth.ndjson

    \b
    False alarms on clean traffic, and recall of one kind on another seed:
      lapwing simulate --events 3000000 --days 3 --users 50000 --seed 1 --attacks none --output clean.ndjson.zst
      lapwing simulate --events 500000 --seed 2 --attacks slow_spray,takeover --attack-every 40m --output two.ndjson
      lapwing simulate --events 500000 --seed 3 --start 2026-11-07 --attack-every 50 --output weekend.ndjson
    """
    if json and output == "-":
        raise UsageError("--output - and --json both want stdout: write to a file, or leave --json out")
    if hours is not None and days is not None:
        raise UsageError("--hours and --days say the same: leave one out")
    if output != "kafka" and (rate is not None or config is not None):
        raise UsageError("--rate and --config are for --output kafka")
    every, count = _spacing(attack_every)
    from flows import simulate as simulation

    began = time.monotonic()
    shown = began
    watched = sys.stderr.isatty() and not quiet

    def show(count: int) -> None:
        nonlocal shown
        if watched and time.monotonic() - shown > 0.2:
            shown = time.monotonic()
            print(f"\r{count:,} of {events:,} events", end="", file=sys.stderr, flush=True)

    chunks = simulation.simulate(
        events,
        seed,
        hours=days * 24 if days is not None else hours,
        start=_moment(start),
        users=users,
        attacks=() if no_attacks else _kinds(attacks, simulation.ALL),
        attack_count=count,
        attack_every=every,
    )
    try:
        if output == "kafka":
            block = load(config).kafka
            done = simulation.send(block, chunks, rate=rate, truth_path=truth, on_progress=show)
        else:
            done = simulation.write(output, chunks, truth_path=truth, on_progress=show)
    finally:
        if watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    if not quiet:
        labels = f", {done.attacks} attacks in {done.truth_path}" if done.truth_path else ""
        rate = done.events / max(seconds, 0.001)
        say(f"{done.events:,} events in {seconds:.1f} s ({rate:,.0f}/s): {done.path}{labels}")
    if json:
        result({"seconds": round(seconds, 3), **msgspec.to_builtins(done)})


def _kinds(text: str, every: tuple[str, ...]) -> tuple[str, ...]:
    if text == "all":
        return every
    return () if text == "none" else tuple(dict.fromkeys(kind.strip() for kind in text.split(",")))


def _spacing(text: str | None) -> tuple[int | None, int | None]:
    """A time between attacks in microseconds, or their number."""
    if text is None:
        return None, None
    if text.isascii() and text.isdigit() and len(text) < 10:
        return None, int(text)
    return length(text, "--attack-every"), None


def _moment(text: str | None) -> datetime | None:
    since = micros(text, "--start")
    return None if since is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since)
