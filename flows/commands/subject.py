"""`lapwing subject`: what a person may ask of a trail, and what must be told when one was hit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import columns, plain, result, say
from flows.commands.moments import span
from flows.commands.options import By, From, Json, Keys, Tenant, To, TrailPlace
from flows.commands.trail_options import Reason, Yes, person, why
from flows.errors import Refused

if TYPE_CHECKING:
    from flows.trail.affected import Affected

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The rights of a person: export, erasure, who was affected.",
    add_completion=False,
)  # fmt: skip
Name = Annotated[str, typer.Argument(metavar="NAME", help="The person's user id, or a username.")]


@app.command()
def export(
    name: Name,
    trail: TrailPlace,
    keys: Keys,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A directory that is not there, or empty.")],
    tenant: Tenant = None,
    start: From = None,
    end: To = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Write out what is kept of a person: as JSON, as CSV, and as a page to read.

    Nothing of others is in it: they appear by pseudonyms, alerts that name others without their events. That it was
    asked for is noted in the trail. A name under which nothing is kept is exit code 1.

    \b
    Examples:
      lapwing subject export sam@acme.example --output sam --trail trail --keys keys
      lapwing subject export u-17 --tenant acme --from 2026-11-01 --output sam --trail trail --keys keys
    """
    from flows.trail.access import Access, reader
    from flows.trail.export import write_export
    from flows.trail.reader import Trail

    since, until = span(start, end)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise Refused(f"{output}: is there already; name a directory that is not")
    with Trail.open(trail, Path(keys), access=Access("subject export", reader(by))) as found:
        of, _ = person(found, tenant, name)
        done = write_export(found, of, name, since, until, output)
    if json:
        result(done)
    counts = ", ".join(f"{kind} {count:,}" for kind, count in done.rows.items()) or "nothing"
    say(f"{plain(name)}, tenant {plain(of)}: {counts}; begin with {plain(output / 'index.html')}")


@app.command()
def erase(
    name: Name,
    trail: TrailPlace,
    keys: Keys,
    reason: Reason,
    tenant: Tenant = None,
    by: By = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Destroy a person's keys: what is sealed for the person in the trail is opened by nobody any more.

    Also in backups and copies of the trail, for the keys are in none; destroy old backups of the keys, too. The rows
    stay as they are, so the trail still verifies. Without --yes it is only shown what would be erased (exit code 3); a
    hold refuses (3). It cannot be taken back, and there is no list of erased names: keep the erasure's id. Erasures
    that were cut off before their keys went are finished first.

    \b
    Examples:
      lapwing subject erase sam@acme.example --reason "request 4711" --trail trail --keys keys
      lapwing subject erase sam@acme.example --reason "request 4711" --by privacy --yes --trail trail --keys keys
    """
    from flows.trail import erasure
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    who, because = reader(by), why(reason)
    with Trail.open(trail, Path(keys), access=Access("subject erase", who)) as found:
        assert found.keys is not None
        tenants = found.tenants() if tenant is None else [tenant]
        whose = {one.id.hex() for of in tenants for one in found.keys.find(of, name)}
        finished = erasure.settle(found, found.keys)
        for one in finished:
            say(f"finished: erasure {one.id}, begun {one.time} and cut off")
        done = next((one for one in finished if whose.intersection(one.subjects)), None)
        if done is None:
            of, ids = person(found, tenant, name)
            if held := erasure.in_the_way(found, of, ids):
                raise Refused(erasure.refusal(held))
            if not yes:
                rows = _rows(erasure.rows_about(found, ids, of))
                raise Refused(f"would erase what is sealed for {name} of tenant {of} in {rows}; do it with --yes")
            done = erasure.erase(found, found.keys, of, name, because, who)
    if json:
        result(done)
    say(f"erased: {_rows(done.rows)} can be opened by nobody; erasure {done.id} of {done.destroyed}")
    say("not reached: what was sent on (topics, a SIEM, exports), detect's state and results, backups of the keys")


@app.command()
def erasures(trail: TrailPlace, keys: Keys, by: By = None, json: Json = False) -> None:
    """Print what was erased, when, why and by whom. Whom it was cannot be told any more: the id of an erasure can.

    \b
    Examples:
      lapwing subject erasures --trail trail --keys keys
      lapwing subject erasures --trail trail --keys keys --json | jq '.[] | select(.id == "5f0c9d3a1b22")'
    """
    from flows.trail import erasure
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    with Trail.open(trail, Path(keys), access=Access("subject erasures", reader(by))) as found:
        done = erasure.history(found)
    if json:
        result(done)
        return
    rows = [(one.id, one.tenant, (one.destroyed or "begun")[:19], _rows(one.rows), one.by, one.reason) for one in done]
    print(columns([("erasure", "tenant", "destroyed", "rows", "by", "reason"), *rows], "") if rows else "no erasures")


@app.command()
def affected(
    incident: Annotated[
        str, typer.Option("--incident", metavar="UID", help="The incident's uid, or at least 8 digits that begin it.")
    ],
    trail: TrailPlace,
    keys: Keys,
    tenant: Tenant = None,
    start: From = None,
    end: To = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Print whom an incident has hit: what of each person was read or changed, who could be logged in as, first, last.

    From the incident's alerts, and the events of its users and addresses between its start and its end; --to looks
    further on, for what was done after the alert. What a breach notice (GDPR 33 and 34) needs.

    \b
    Examples:
      lapwing subject affected --incident 8e97019742e29a99c4fcdba5576db33b --trail trail --keys keys
      lapwing subject affected --incident 8e970197 --to 2026-11-09 --json --trail trail --keys keys
    """
    from flows.trail import affected as hit
    from flows.trail import incidents
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    since, until = span(start, end)
    with Trail.open(trail, Path(keys), access=Access("subject affected", reader(by))) as found:
        told = hit.affected(found, incidents.incident(found, incident, tenant), since, until)
    if json:
        result(told)
        return
    print(_affected(told))


def _affected(told: "Affected") -> str:
    who = "one person" if len(told.people) == 1 else f"{len(told.people):,} people"
    lines = [
        f"{plain(told.title)} ({told.severity}), incident {told.uid}, tenant {plain(told.tenant)}",
        f"of {', '.join(plain(f'{of} {entity}') for of, entity in told.entities)}",
        f"{told.start[:19]}Z to {told.end[:19]}Z: {told.events:,} events of {who}",
    ]
    if told.erased:
        lines.append(f"{told.erased:,} events more are of people who were erased")
    rows = []
    for one in told.people:
        changed = _counts(one.changed) + (f" ({', '.join(one.fields)})" if one.fields else "")
        ends = (f"{at[:19]}Z" for at in (one.first, one.last))
        rows.append((one.name, one.reached, _counts(one.read), changed, one.attempts, *ends))
    head = ("who", "logged in", "read", "changed", "failed", "first", "last")
    return "\n".join([*lines, "", columns([head, *rows], "")]) if rows else "\n".join(lines)


def _counts(of: dict[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in of.items()) or "-"


def _rows(rows: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in rows.items()) or "no rows"
