"""`lapwing profile`: the versions of a person's profile, as the changes in the trail tell them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from flows.commands.console import result
from flows.commands.moments import micros, span
from flows.commands.options import By, From, Json, Keys, Tenant, To, TrailPlace
from flows.commands.timeline import tenant_of, told_range
from flows.errors import InputError, UsageError

if TYPE_CHECKING:
    from flows.trail.versions import Change, Version

_LONGEST = 200


def profile(
    user: Annotated[str, typer.Argument(metavar="U", help="A user id or username.")],
    trail: TrailPlace,
    keys: Keys,
    tenant: Tenant = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="The profile as it was then, inclusive.")
    ] = None,
    diff: Annotated[
        tuple[int, int] | None, typer.Option("--diff", metavar="V1 V2", help="What differs between two versions.")
    ] = None,
    field: Annotated[
        str | None, typer.Option("--field", metavar="F", help="Only a field, as email or address.")
    ] = None,
    start: From = None,
    end: To = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Print who changed what of a person's profile, when and from where: a version for each event with changes.

    Versions stand in the order of event time, however late and often the events came; version 0 is what was before
    the first. A change whose old value is not the last new one is a gap: something between is missing. A field that
    no event changed is not known here, and stands in no version.

    \b
    Examples:
      lapwing profile sam@example.com --trail trail --keys keys
      lapwing profile u-17 --tenant acme --field email --trail trail --keys keys
      lapwing profile u-17 --as-of 2026-11-02T09:00:00Z --trail trail --keys keys
      lapwing profile u-17 --diff 0 3 --json --trail trail --keys keys
    """
    if as_of is not None and diff is not None:
        raise UsageError("--as-of and --diff: one at a time")
    first, last = span(start, end)
    moment = micros(as_of, "--as-of")
    from flows.trail.access import Access, reader
    from flows.trail.own import Owner
    from flows.trail.reader import Trail
    from flows.trail.versions import at, difference, of_field, versions

    opened = Trail.open(trail, Path(keys), access=Access("profile", reader(by)))
    tenant = tenant_of(opened, user, tenant)
    if opened.keys is None:
        raise ValueError("nobody is found by name without keys")
    owner = Owner(opened.keys, user)
    events = opened.events(tenant=tenant, user=user, start=first, end=last)
    chain = versions(event for event in events if owner.is_about(event))
    if not chain:
        raise InputError(f"{trail}: no changes of {user}'s profile{told_range(tenant, start, end)}")
    head: dict[str, Any] = {"user": user, "tenant": tenant}
    if diff is not None:
        if not all(0 <= one <= len(chain) for one in diff):
            raise UsageError(f"--diff: there are versions 0 to {len(chain)}")
        found = [one for one in difference(chain, *diff) if field is None or _is_of(one.path, field)]
        if json:
            result(head | {"first": diff[0], "second": diff[1], "differences": found})
        else:
            lines = [f"{_shown(one.path)}: {_value(one.first)} -> {_value(one.second)}" for one in found]
            print("\n".join(lines or [f"versions {diff[0]} and {diff[1]} do not differ"]))
    elif moment is not None:
        number = sum(1 for one in chain if one.time <= moment)
        state = {path: value for path, value in at(chain, number).items() if field is None or _is_of(path, field)}
        if json:
            result(head | {"as_of": as_of, "version": number, "fields": state})
        else:
            print(f"version {number} of {len(chain)}")
            print("\n".join(f"{_shown(path)}: {_value(value)}" for path, value in state.items()))
    else:
        chosen = chain if field is None else of_field(chain, field)
        if not chosen:
            raise InputError(f"{trail}: no version of {user} changes {field}")
        if json:
            result(head | {"versions": [_plain(one) for one in chosen]})
        else:
            print("\n".join(line for one in chosen for line in _lines(one)))


def _plain(version: "Version") -> dict[str, Any]:
    from flows.trail.schema import stamp

    told: dict[str, Any] = msgspec.to_builtins(version)
    return told | {"time": stamp(version.time), "gaps": version.gaps}


def _lines(version: "Version") -> list[str]:
    from flows.trail.schema import stamp

    who = f"by {version.actor}" if version.actor else "by the person"
    app = " ".join(filter(None, (version.app, version.app_version)))
    words = [version.action, who, f"from {version.ip}" if version.ip else "", f"with {app}" if app else ""]
    words += [f"(came {version.copies} times)"] if version.copies > 1 else []
    words += [f"({version.unreadable} changes without a path)"] if version.unreadable else []
    time = stamp(version.time)[:23].replace("T", " ")
    return [f"{version.number:>4}  {time}  {_shown(' '.join(filter(None, words)))}", *map(_change, version.changes)]


def _change(change: "Change") -> str:
    line = f"      {_shown(change.path)}: {_value(change.old)} -> {_value(change.new)}"
    return line + (f"   GAP: it was last known as {_value(change.known)}" if change.gap else "")


def _is_of(path: str, field: str) -> bool:
    from flows.trail.versions import below

    return below(path, field)


def _value(value: Any) -> str:
    if value is msgspec.UNSET:
        return "(not told)"
    return _shown(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _shown(text: str) -> str:
    from flows.formats.evidence import shown

    return shown(text, _LONGEST)
