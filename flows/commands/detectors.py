"""`lapwing detectors`: what each detector has learned, refused and accepted, and what came of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.console import columns, plain, result
from flows.commands.options import Json
from flows.commands.state import looked_at, there

_UNKNOWN = "-"


def detectors(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The state directory.")],
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="Measure warm-up by this one, not by what the last run had."),
    ] = None,
    json: Json = False,
) -> None:
    """Say what each detector has learned.

    By detector and dimension: since when, how many windows were closed, learned, refused by the guard, accepted after
    all and closed without a score; how much of the warm-up is behind; who has a baseline, and hours of the week, of
    its own; whether scores drift; and the incidents of the last 7 days of event time. "-" is not known. It may be asked
    while a run goes on. State that cannot be used is exit code 3.

    \b
    Examples:
      lapwing detectors state
      lapwing detectors state --json | jq '.detectors[] | select(.warm_share < 1)'
      lapwing detectors state --config new.toml
    """
    from flows.asked import asked
    from flows.config import load
    from flows.learned import what_was_learned

    there(directory)
    wanted = asked(load(config)) if config else None
    running = looked_at(directory)
    found = {"path": str(directory), "running": running} | what_was_learned(directory, wanted)
    if json:
        result(found)
    else:
        print(_text(found))


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"state       {plain(found['path'])}{', in use' if found['running'] else ''}",
        f"event time  {found['event_time'] or _UNKNOWN}",
        "",
        columns([_HEADINGS, *(_detector(row) for row in found["detectors"])]),
        "",
    ]
    rows = [
        (one["detection"], one["dimension"], one["reads"] or _UNKNOWN, one["incidents_7d"], one["kept_back_7d"])
        for one in found["detections"]
    ]
    if not rows:
        return "\n".join([*lines, "  incidents of each detection: not known of this state"])
    return "\n".join([*lines, columns([("detection", "dimension", "reads", "incidents 7d", "kept back 7d"), *rows])])


_HEADINGS = (
    "detector", "dimension", "age", "closed", "learned", "refused", "accepted", "null", "warm", "entities", "own",
    "hours", "incidents 7d", "drift",
)  # fmt: skip


def _detector(row: dict[str, Any]) -> tuple[str, ...]:
    hours, drift = row["hours"], row["drift"]
    return (
        row["detector"],
        row["dimension"],
        _age(row["age_s"]),
        *(_count(row[name]) for name in ("closed", "learned", "refused", "accepted")),
        *(_share(row[name]) for name in ("null_share", "warm_share")),
        _count(row["entities"]),
        _share(row["own_baseline_share"]),
        _UNKNOWN if hours is None else f"{hours['entities']} of them, {_share(hours['known_share'])}",
        _count(row["incidents_7d"]),
        _UNKNOWN if drift is None else _drift(drift),
    )


def _drift(drift: dict[str, Any]) -> str:
    text = f"{drift['drifts']}, last {drift['last'][:16]}Z" if drift["drifts"] else "none"
    if drift["strange_share"] is None:
        return text
    usual = "" if drift["usual_share"] is None else f" (usually {drift['usual_share']:.0%})"
    return f"{text}; {drift['strange_share']:.0%} strange now{usual}"


def _age(seconds: int | None) -> str:
    """An age in its two largest units.

    >>> _age(None), _age(59), _age(7_500), _age(600_000)
    ('-', '0m', '2h05m', '6d22h')
    """
    if seconds is None:
        return _UNKNOWN
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes}m"
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    return f"{minutes // 1440}d{minutes % 1440 // 60:02d}h"


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _share(value: float | None) -> str:
    """A share in percent; one that is more than nothing, and less than all, does not look so.

    >>> _share(None), _share(0.0), _share(0.0002), _share(0.996), _share(1.0), _share(0.5)
    ('-', '0%', '<1%', '>99%', '100%', '50%')
    """
    if value is None:
        return _UNKNOWN
    if 0.0 < value < 0.005:
        return "<1%"
    if 0.995 <= value < 1.0:
        return ">99%"
    return f"{value:.0%}"
