"""`lapwing insights`: what the same events say to the business, as one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import plain, result, say
from flows.commands.moments import micros
from flows.commands.options import By, Json, Keys, Quiet, TrailPlace
from flows.commands.timeline import write
from flows.errors import InputError, UsageError

if TYPE_CHECKING:
    from flows.insights.counted import Counted
    from flows.trail.access import Access


def insights(
    trail: TrailPlace,
    keys: Keys,
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE|-", help="The page: one HTML file, complete in itself.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="First day; the default is 30 days before --to.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Up to here, exclusive; the default is the trail's end.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="T", help="One tenant; else all of them together.")
    ] = None,
    by: By = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show logins, funnels, places, devices, engagement, endpoints and incidents over time, and what they suggest.

    Days are whole days UTC: --from goes back to its day's beginning, --to on to its day's end. What is shown was
    counted by lapwing archive as the events came, so a year opens in seconds; counts hold no name of a person, and
    cities with fewer than five users are shown as "other".

    \b
    Examples:
      lapwing insights --trail trail --keys keys --output report.html
      lapwing insights --trail trail --keys keys --from 2026-10-01 --to 2026-11-01 --tenant acme --output acme.html
      lapwing insights --trail trail --keys keys --json | jq -r '.findings[].text'
    """
    if output is None and not json:
        raise UsageError("say where the page goes: --output FILE, or --json")
    if output == "-" and json:
        raise UsageError("--output - and --json would both go to stdout")
    from flows.insights.page import page
    from flows.insights.summary import summary
    from flows.trail.access import Access, reader

    made = summary(_counted(trail, keys, start, end, tenant, Access("insights", reader(by))), tenant)
    if output is not None:
        write(iter([page(made)]), output)
        if not quiet:
            say(f"{made.events:,} events in {made.days:,} days, {len(made.findings)} findings: {output}")
    if json:
        result(made)


def _counted(
    trail: str, keys: str, start: str | None, end: str | None, tenant: str | None, access: "Access"
) -> "Counted":
    """What was counted in the range, and in as long a time before it; that it was read is noted before.

    Raises
    ------
    InputError
        There is no trail, or nothing in the range.
    """
    from flows.insights.counted import DAY, Counted
    from flows.insights.figures import date
    from flows.trail.insights import known_days, read
    from flows.trail.keys import KeyStore
    from flows.trail.schema import INSIGHTS
    from flows.trail.store import Store

    asked = micros(start, "--from"), micros(end, "--to")
    store = Store.open(trail, INSIGHTS)
    with KeyStore.open(Path(keys)) as opened:
        store.check_keys(opened.identity)
        files = store.files()
        if not files:
            raise InputError(f"{trail}: nothing has been archived yet")
        first, last = known_days(files)
        to = -(-asked[1] // DAY) * DAY if asked[1] is not None else last + DAY
        since = asked[0] // DAY * DAY if asked[0] is not None else to - 30 * DAY
        if since >= to:
            raise UsageError(f"--from {date(since)} is not before --to {date(to)}")
        back = max(to - since, 28 * DAY)
        access.note(trail, opened, INSIGHTS, [] if tenant is None else [tenant], {}, since - back, to)
        rows, names = read(store, opened, tenant=tenant, start=since - back, end=to)
    counted = Counted(rows, names, since, to)
    if not counted.sums("hourly", "key"):
        whose = "" if tenant is None else f" of tenant {plain(tenant)[:60]}"
        raise InputError(
            f"{trail}: no events{whose} from {date(since)} to {date(to)}; "
            f"it has events from {date(first)} to {date(last)}"
        )
    return counted
