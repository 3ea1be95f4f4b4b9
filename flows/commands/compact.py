"""`lapwing trail compact`: put the files of a trail in order."""

from typing import Annotated

import typer

from flows.commands.console import result, say
from flows.commands.engine import noise_held_back
from flows.commands.options import Json, Quiet, TrailPlace

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after a trail's files.", add_completion=False)


@app.command("compact")
def compact(
    trail: TrailPlace,
    old: Annotated[
        int,
        typer.Option(
            "--old", metavar="HOURS", min=0, help="Remove files that were replaced so long ago; 0 is at once."
        ),
    ] = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sort the days of a trail by user, with filters, so that a person's events are found at once; no leaf changes.

    `lapwing archive` does so by itself with the days that it writes to. Files of old versions are removed afterwards:
    with --old 0 only while nothing else reads or writes the trail.

    \b
    Examples:
      lapwing trail compact --trail trail
      lapwing trail compact --trail trail --old 0 --json
    """
    from flows.trail.compact import compact as work
    from flows.trail.schema import KINDS
    from flows.trail.store import Store

    done: dict[str, dict[str, int]] = {}
    with noise_held_back():
        for kind in KINDS:
            if kind == "events" or Store.exists(trail, kind):
                store = Store.open(trail, kind)
                done[kind] = {"sorted": work(store), "removed": store.sweep(old)}
    if not quiet:
        days, files = (sum(one[name] for one in done.values()) for name in ("sorted", "removed"))
        say(f"{trail}: {days:,} days of trees sorted, {files:,} old files removed")
    if json:
        result(done)
