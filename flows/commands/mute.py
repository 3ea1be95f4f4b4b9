"""`lapwing mute` and `lapwing unmute`: silence for some hours, set and ended while a run goes on."""

import time
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import msgspec
import typer

from flows.asked import read_asked
from flows.commands.console import columns, plain, result, say
from flows.commands.moments import length
from flows.commands.options import ConfigFile, Json
from flows.commands.results import bounded, noted, results, who
from flows.commands.shift import STATE_HELP, known_state, utc
from flows.config import load
from flows.errors import Refused, UsageError
from flows.mutes import change_mutes, read_mutes
from flows.structure import meant
from flows.verdicts import Operation
from models.mutes import Mute

_LONGEST = 512
_MOST_DAYS = 30
_OUTPUT = "Where it is logged among the verdicts; else the configuration's output, else the state directory."


def mute(
    detection: Annotated[
        str | None, typer.Argument(metavar="[DETECTION]", help="Its id; * stands for any run of characters.")
    ] = None,
    entity: Annotated[
        str, typer.Option("--entity", metavar="NAME", help="An account, address, network or endpoint; * as above.")
    ] = "",
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="Of one tenant.")] = "",
    lasts: Annotated[str | None, typer.Option("--for", metavar="2h", help="How long; at most 30d.")] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; at most 512 characters.")] = "",
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; else who runs this.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the mutes, those too that were over this week.")] = False,
    state: Annotated[str | None, typer.Option("--state", metavar="DIR", help=STATE_HELP)] = None,
    output: Annotated[str | None, typer.Option("--output", metavar="DIR|kafka", help=_OUTPUT)] = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Do not tell of a detection for some hours: incidents that open meanwhile go to what is suppressed.

    A running `detect` heeds it within seconds. Events are scored and counted all the same, and the mute ends by itself.
    What was told of before stays told.

    \b
    Examples:
      lapwing mute brute_force_user --entity sam@example.com --for 2h --reason "load test, ticket 4711" --state state
      lapwing mute "traffic_spike_*" --tenant acme --for 30m --reason "release 7.3" --config config.toml
      lapwing mute --list --state state
    """
    root = _root(state, config)
    if listed:
        _list(root, json)
        return
    if detection is None or lasts is None or not reason.strip():
        raise UsageError("give a DETECTION, --for and --reason; or --list")
    if not 0 < (wanted := length(lasts, "--for")) <= _MOST_DAYS * 86_400_000_000:
        raise UsageError(f"--for: Expected at most {_MOST_DAYS}d, and more than nothing: an exception is for longer")
    _known(root, config, detection)
    if not (detection.strip("*") or entity.strip("*") or tenant.strip("*")):
        raise UsageError("this would silence everything: name a detection, or give --entity or --tenant")
    now = int(time.time() * 1000)
    one = Mute(
        id=token_hex(4),
        detection=bounded(detection, _LONGEST, "DETECTION"),
        entity=bounded(entity, _LONGEST, "--entity"),
        tenant=bounded(tenant, _LONGEST, "--tenant"),
        reason=bounded(reason, _LONGEST, "--reason"),
        by=who(by),
        since=now,
        until=now + wanted // 1000,
    )
    change_mutes(root, lambda mutes: [*mutes, one])
    _log(root, output, config, one, "mute", one.reason, one.by)
    if json:
        result(one)
    say(f"muted {one.id}: {plain(one.detection)} until {utc(one.until)}; `lapwing unmute {one.id}` ends it")


def unmute(
    number: Annotated[str, typer.Argument(metavar="ID", help="The mute's id, as `lapwing mute --list` shows it.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; at most 2,000 characters.")] = "",
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; else who runs this.")] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="DIR", help=STATE_HELP)] = None,
    output: Annotated[str | None, typer.Option("--output", metavar="DIR|kafka", help=_OUTPUT)] = None,
    config: ConfigFile = None,
) -> None:
    """End a mute before its time. What was silenced stays so; what opens from now on is told.

    \b
    Examples:
      lapwing unmute 3f2a91c0 --state state
    """
    root, said, name = _root(state, config), noted(note), who(by)
    now = int(time.time() * 1000)
    ended: list[Mute] = []

    def without(mutes: list[Mute]) -> list[Mute]:
        ended.extend(one for one in mutes if one.id == number and one.until > now)
        # It still covers what opened in event time before now: a run that is behind has that before it.
        return [msgspec.structs.replace(one, until=now) if one in ended else one for one in mutes]

    change_mutes(root, without)
    if not ended:
        raise Refused(f"no mute {plain(number[:40])} is in force in {root}; `lapwing mute --list` shows them")
    _log(root, output, config, msgspec.structs.replace(ended[0], until=now), "unmute", said, name)
    say(f"mute {ended[0].id} of {plain(ended[0].detection)} has ended")


def _root(state: str | None, config: str | None) -> Path:
    path = state or load(config).state.path
    if not path:
        raise UsageError("mutes are kept with the run's state: give --state DIR, or --config with path under [state]")
    return known_state(path)


def _known(root: Path, config: str | None, detection: str) -> None:
    """Refuse a detection that the run does not have, as far as that is known."""
    if "*" in detection:
        return
    asked = None if config else read_asked(root)
    ids = [one.id for one in (asked.detections if asked else load(config).detection)]
    if detection not in ids and (asked or config):
        raise UsageError(f"no detection {plain(detection[:60])}{meant(detection, ids)}; `lapwing check` lists them")


def _log(root: Path, output: str | None, config: str | None, one: Mute, kind: str, note: str, by: str) -> None:
    chosen = load(config).output.path
    where, _ = results(output or (chosen if chosen not in ("", "-") else str(root)), config)
    about = {"detection": one.detection, "tenant": one.tenant, "entity": one.entity}
    operation = msgspec.convert(
        {**about, "uid": one.id, "time": int(time.time() * 1000), "operation": kind, "note": note, "by": by,
         "until": one.until},
        Operation,
    )  # fmt: skip
    where.add(operation)


def _list(root: Path, json: bool) -> None:
    found = sorted(read_mutes(root), key=lambda one: (-one.until, one.id))
    now = int(time.time() * 1000)
    if json:
        result([{**msgspec.structs.asdict(one), "in_force": one.until > now} for one in found])
        return
    if not found:
        print(f"no mutes in {root}")
        return
    rows = [("mute", "detection", "entity", "tenant", "until", "", "by", "reason")]
    rows += [
        (one.id, one.detection, one.entity or "any", one.tenant or "any", utc(one.until),
         "in force" if one.until > now else "over", one.by, one.reason)
        for one in found
    ]  # fmt: skip
    print(columns(rows, ""))
