"""`lapwing simulate`: realistic traffic with labelled attacks."""

import sys
import time
from typing import Annotated

import msgspec
import typer

from flows.commands.console import result, say
from flows.commands.options import Json, Quiet
from flows.errors import UsageError


def simulate(
    events: Annotated[int, typer.Option("--events", min=1, max=10_000_000_000, metavar="N", help="How many events.")],
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, metavar="S", help="Equal seeds, equal bytes.")],
    output: Annotated[
        str, typer.Option("--output", metavar="PATH", help="File to write, also .gz and .zst; - is stdout.")
    ],
    hours: Annotated[
        float | None,
        typer.Option("--hours", min=0.01, max=87_600, help="Event time covered; left out, it follows from N."),
    ] = None,
    users: Annotated[int | None, typer.Option("--users", min=1, max=10_000_000, help="Size of the population.")] = None,
    no_attacks: Annotated[bool, typer.Option("--no-attacks", help="Ordinary traffic only.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write realistic traffic, and the attacks hidden in it to PATH.truth.ndjson.

    \b
    Examples:
      lapwing simulate --events 300000 --seed 7 --output demo/events.ndjson
      lapwing simulate --events 1000000 --seed 7 --hours 48 --users 20000 --output events.ndjson.zst
      lapwing simulate --events 1000 --seed 7 --output - | head
    """
    if json and output == "-":
        raise UsageError("--output - and --json both want stdout: write to a file, or leave --json out")
    from flows import simulate as simulation

    began = time.monotonic()
    shown = began
    watched = sys.stderr.isatty() and not quiet

    def show(count: int) -> None:
        nonlocal shown
        if watched and time.monotonic() - shown > 0.2:
            shown = time.monotonic()
            print(f"\r{count:,} of {events:,} events", end="", file=sys.stderr, flush=True)

    try:
        done = simulation.write(
            output, events=events, seed=seed, hours=hours, users=users, attacks=not no_attacks, on_progress=show
        )
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
