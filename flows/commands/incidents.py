"""`lapwing incidents`: the queue of whoever is on shift."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.console import columns, plain, result
from flows.commands.moments import millis
from flows.commands.options import ConfigFile, Json
from flows.commands.results import Results, results
from flows.commands.shift import STATE_HELP, ago, case_told, mutes_told, named
from flows.errors import UsageError
from flows.incidents import Case, cases
from models.base import SEVERITIES

_LINES = 40


def incidents(
    opened: Annotated[bool, typer.Option("--open", help="Only what nobody has judged or resolved.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="2h|TIME", help="Opened so long ago at most, or since a time.")
    ] = None,
    detection: Annotated[str | None, typer.Option("--detection", metavar="ID", help="Of one detection.")] = None,
    severity: Annotated[
        str | None, typer.Option("--severity", metavar="low|medium|high|critical", help="At least so severe.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Of one tenant.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that another stands for, and what is kept out of the queue.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="So many lines at most.")] = _LINES,
    source: Annotated[
        str | None, typer.Option("--input", metavar="DIR|kafka", help="The results; else the configuration's output.")
    ] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="DIR", help=STATE_HELP)] = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """List incidents, the newest first: how severe, how old, whose, whether it is over, and who has it.

    One attack is one line: `+3` says how many further incidents belong to it. Open is what nobody has judged or
    resolved, also when the attack is over.

    \b
    Examples:
      lapwing incidents --open --input out
      lapwing incidents --since 8h --severity high --input kafka --config config.toml
      lapwing incidents --open --json --input out | jq -r '.incidents[].incident.uid'
    """
    if severity is not None and severity not in SEVERITIES[2:]:
        raise UsageError(f"--severity is {', '.join(SEVERITIES[2:])}, not {plain(severity[:20])}")
    now = time.time()
    oldest = millis(since, "--since", now)
    where, chosen = results(source, config)
    found = _queue(where, every)
    least = SEVERITIES.index(severity) if severity else 0
    shown = [
        one
        for one in found
        if (every or one.incident.front)
        and (not opened or one.open)
        and (oldest is None or one.incident.crossed >= oldest)
        and detection in (None, one.incident.detection)
        and one.incident.severity >= least
        and tenant in (None, one.incident.tenant)
    ]
    muted = mutes_told(Path(kept), now) if (kept := state or chosen.state.path) else []
    if json:
        rows: list[dict[str, Any]] = [case_told(one) for one in shown[:limit]]
        result({"incidents": rows, "more": max(0, len(shown) - limit), "mutes": muted})
        return
    print(_text(shown, limit, now, [f"muted      {plain(one['text'])}" for one in muted]))


def _queue(where: Results, every: bool) -> list[Case]:
    verdicts, operations = where.said()
    found = cases(where.alerts(suppressed=every), verdicts, operations)
    return sorted(found.values(), key=lambda one: (-one.incident.crossed, one.incident.uid))


def _text(shown: list[Case], limit: int, now: float, muted: list[str]) -> str:
    at = datetime.fromtimestamp(now, UTC)
    head = (
        f"incidents  {len(shown):,}, of which {sum(one.open for one in shown):,} are open, at {at:%Y-%m-%d %H:%M:%SZ}"
    )
    if not shown:
        return "\n".join([head, *muted])
    rows: list[tuple[str, ...]] = [("incident", "severity", "age", "attack", "detection", "entity", "tenant", "status")]
    rows += [_row(one, now) for one in shown[:limit]]
    more = [f"  ... {len(shown) - limit:,} older ones: --limit, --since"] if len(shown) > limit else []
    return "\n".join([head, *muted, "", columns(rows), *more])


def _row(case: Case, now: float) -> tuple[str, ...]:
    one = case.incident
    attack = ("over" if one.closed else "goes on") + (f" +{case.linked}" if case.linked else "")
    status = case.status + (f" by {case.by}" if case.by else "") + (f": {one.kept_back}" if one.kept_back else "")
    entity = named(one)
    return (
        one.uid[:8],
        SEVERITIES[one.severity],
        ago(one.crossed, now),
        attack,
        one.detection,
        entity,
        one.tenant,
        status,
    )
