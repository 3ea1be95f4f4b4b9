"""`lapwing hold`: what must stay, over erasure and retention."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import columns, result, say
from flows.commands.moments import span
from flows.commands.options import By, From, Json, Keys, Tenant, To, TrailPlace
from flows.commands.trail_options import Reason, person, why
from flows.errors import UsageError
from flows.trail.holds import Hold

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keep what a court or an investigation needs.",
    add_completion=False,
)


@app.command()
def add(
    trail: TrailPlace,
    keys: Keys,
    reason: Reason,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="All that is kept of a person.")] = None,
    incident: Annotated[
        str | None,
        typer.Option(
            "--incident", metavar="UID", help="Whom and what an incident was about, in its time; 8 digits will do."
        ),
    ] = None,
    tenant: Tenant = None,
    since: From = None,
    until: To = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Put a hold on a person, an incident, or a whole tenant.

    What is held is neither erased (`lapwing subject erase` is exit code 3) nor removed by `lapwing retention run`,
    until `lapwing hold release`. A hold keeps no name, but the pseudonyms that rows carry.

    \b
    Examples:
      lapwing hold add --incident 8e97019742e29a99c4fcdba5576db33b --reason "case 17" --trail trail --keys keys
      lapwing hold add --user sam@acme.example --reason "case 18" --by legal --trail trail --keys keys
      lapwing hold add --tenant acme --from 2026-11-01T00:00:00Z --reason "audit 2026" --trail trail --keys keys
    """
    from flows.trail import holds, incidents
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    start, end = span(since, until)
    if user is not None and incident is not None:
        raise UsageError("one of --user and --incident")
    who, because = reader(by), why(reason)
    with Trail.open(trail, Path(keys), access=Access("hold add", who)) as found:
        if user is not None:
            of, ids = person(found, tenant, user)
            hold = holds.of_user(of, ids, start, end, because, who)
        elif incident is not None:
            hold = holds.of_incident(found, incidents.incident(found, incident, tenant), start, end, because, who)
        elif tenant is not None:
            if tenant not in found.tenants():
                raise UsageError(f"{trail}: has no events of tenant {tenant}")
            hold = holds.of_tenant(tenant, start, end, because, who)
        else:
            raise UsageError("whom or what: --user, --incident or --tenant")
        holds.add(found, hold)
    if json:
        result(hold)
    say(f"hold {hold.id} is in force on {_what(hold)}")


@app.command("list")
def list_(
    trail: TrailPlace,
    keys: Keys,
    all_: Annotated[bool, typer.Option("--all", help="Those that were released, too.")] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Print the holds in force.

    \b
    Examples:
      lapwing hold list --trail trail --keys keys
      lapwing hold list --all --json --trail trail --keys keys | jq '.[] | select(.released)'
    """
    from flows.trail import holds
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    with Trail.open(trail, Path(keys), access=Access("hold list", reader(by))) as found:
        those = holds.history(found) if all_ else holds.active(found)
    if json:
        result(those)
        return
    rows = [(one.id, _what(one), _range(one), one.time[:19] + "Z", one.by, _state(one), one.reason) for one in those]
    print(columns([("hold", "of", "range", "since", "by", "state", "reason"), *rows], "") if rows else "no holds")


@app.command()
def release(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="The hold's id.")],
    trail: TrailPlace,
    keys: Keys,
    reason: Reason,
    by: By = None,
    json: Json = False,
) -> None:
    """End a hold. It stays in the list of all.

    \b
    Examples:
      lapwing hold release 5f0c9d3a1b22 --reason "case 17 closed" --trail trail --keys keys
    """
    from flows.trail import holds
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    who, because = reader(by), why(reason)
    with Trail.open(trail, Path(keys), access=Access("hold release", who)) as found:
        ended = holds.release(found, hold, because, who)
    if json:
        result(ended)
    say(f"hold {ended.id} is released")


def _what(hold: Hold) -> str:
    """What a hold is on, in words."""
    if hold.of == "incident":
        return f"incident {hold.incident}"
    if hold.of == "tenant":
        return f"tenant {hold.tenant}"
    return f"a person of {hold.tenant} ({hold.subjects[0][:8]})"


def _range(hold: Hold) -> str:
    from flows.trail.schema import stamp

    ends = [stamp(at)[:19] + "Z" if at is not None else "" for at in (hold.start, hold.end)]
    return "-".join(ends) if any(ends) else "all"


def _state(hold: Hold) -> str:
    return f"released {hold.released.time[:10]}" if hold.released else "in force"
