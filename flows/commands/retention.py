"""`lapwing retention`: what goes from a trail because its time is over."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import columns, plain, result, say
from flows.commands.options import By, ConfigFile, Json, Keys, Tenant, TrailPlace
from flows.commands.trail_options import Yes
from flows.config import load
from flows.errors import Refused, UsageError
from flows.trail.retention import Due

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Remove from a trail what it need not keep any longer.",
    add_completion=False,
)  # fmt: skip


@app.command()
def plan(
    trail: TrailPlace,
    keys: Keys,
    config: ConfigFile = None,
    on: Annotated[str | None, typer.Option("--on", metavar="DATE", help="As of this day (UTC); else today.")] = None,
    tenant: Tenant = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Print what would go, day by day, by which class, and what a hold keeps.

    Classes stand in the configuration ([trail.retention.NAME]: keep, kinds, tenants); without one those of the
    package hold: 13 months, raw messages and dead letters 30 days.

    \b
    Examples:
      lapwing retention plan --trail trail --keys keys
      lapwing retention plan --on 2027-12-31 --json --trail trail --keys keys | jq 'map(.bytes) | add'
    """
    from flows.trail import retention
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    with Trail.open(trail, Path(keys), access=Access("retention plan", reader(by))) as found:
        due = retention.plan(found, load(config).trail.retention, _day(on), tenant)
    if json:
        result(due)
        return
    print(_table(due) if due else "nothing is due")


@app.command()
def run(
    trail: TrailPlace,
    keys: Keys,
    config: ConfigFile = None,
    tenant: Tenant = None,
    witness: Annotated[
        Path | None, typer.Option("--witness", metavar="DIR|FILE", help="The second place, as archive has it.")
    ] = None,
    by: By = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove what is due today. Without --yes only the plan is printed (exit code 3).

    Whole days go, but for those that a hold is on; raw messages go row by row, and their hashes stay. For each day a
    manifest stays in the trail, with the hashes that stand for what went: so the rest still verifies.

    \b
    Examples:
      lapwing retention run --trail trail --keys keys
      lapwing retention run --yes --by cron --config config.toml --trail trail --keys keys
    """
    from flows.trail import retention
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    who = reader(by)
    with Trail.open(trail, Path(keys), access=Access("retention run", who)) as found:
        assert found.keys is not None
        due = retention.plan(found, load(config).trail.retention, _day(None), tenant)
        if not any(one.goes for one in due):
            say("nothing goes" + (": what is due is held" if due else ""))
            if json:
                result([])
            return
        if not yes:
            print(_table(due))
            raise Refused("nothing was removed; do it with --yes")
        done = retention.run(found, found.keys, due, who, witness, lambda text: say(plain(text)))
    if json:
        result(done)
    rows, size = sum(one.rows for one in done), sum(one.bytes for one in done)
    say(f"{len(done):,} days removed, {rows:,} rows, {size:,} bytes; a manifest of each is in the trail")


@app.command()
def history(trail: TrailPlace, json: Json = False) -> None:
    """Print what retention has removed: the manifests. It takes no keys.

    \b
    Examples:
      lapwing retention history --trail trail
      lapwing retention history --trail trail --json | jq '.[] | {day, kind, rows, by}'
    """
    from flows.trail import retention
    from flows.trail.store import Store

    Store.open(trail, "events")
    done = list(retention.manifests(trail))
    if json:
        result(done)
        return
    rows = [
        (one.time[:19] + "Z", one.kind, one.tree, one.day, f"{one.rows:,}", f"{one.bytes:,}", one.retention, one.by)
        for one in done
    ]
    head = ("removed", "what", "tenant", "day", "rows", "bytes", "class", "by")
    print(columns([head, *rows], "") if rows else "nothing was removed")


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError('--on: expected a day such as "2026-11-23"') from None


def _table(due: list[Due]) -> str:
    rows = [
        (
            one.kind,
            one.tree,
            one.day,
            f"{one.rows:,}",
            f"{one.bytes:,}",
            f"{one.retention}: until {one.until}",
            _held(one),
        )
        for one in due
    ]
    return columns([("what", "tenant", "day", "rows", "bytes", "why", "held"), *rows], "")


def _held(one: Due) -> str:
    if not one.held:
        return "-"
    part = f", {one.rows_held:,} rows stay" if one.kind == "raw" else ""
    return f"by {', '.join(one.held)}{part}"
