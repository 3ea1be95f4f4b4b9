"""`lapwing timeline`: what happened, in its exact order, to a person, from an address, in a session or a request."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.moments import span
from flows.commands.options import By, From, Json, Keys, Tenant, To, TrailPlace
from flows.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from flows.trail.reader import Trail


class Format(StrEnum):
    """How a timeline is written."""

    table = "table"
    json = "json"
    csv = "csv"
    html = "html"


def timeline(
    trail: TrailPlace,
    keys: Keys,
    user: Annotated[str | None, typer.Option("--user", metavar="U", help="A user id or username.")] = None,
    ip: Annotated[str | None, typer.Option("--ip", metavar="A", help="An address.")] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="S", help="A session.")] = None,
    request: Annotated[str | None, typer.Option("--request", metavar="R", help="A request id.")] = None,
    tenant: Tenant = None,
    start: From = None,
    end: To = None,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.table,
    output: Annotated[str | None, typer.Option("--output", metavar="FILE", help="Where to; else stdout.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Print the exact sequence of what happened: events with their scores, profile changes, incidents, proof status.

    The order is that of event time; what happened at the same time stands in the order in which its source told it.
    With --user nothing of others is shown: their names are pseudonyms, their addresses and devices are left out. By
    --ip, --session and --request all whom it concerns are shown as they are.

    \b
    Proof: covered   below the size of the last signed checkpoint (`lapwing verify` proves it)
           pending   came after it
           none      there is no checkpoint

    \b
    Examples:
      lapwing timeline --trail trail --keys keys --tenant acme --user sam@example.com
      lapwing timeline --trail trail --keys keys --ip 203.0.113.7 --from 2026-11-02 --to 2026-11-03T12:00:00Z
      lapwing timeline --trail trail --keys keys --user u-17 --format html --output sam.html
      lapwing timeline --trail trail --keys keys --request r-9 --json | jq '.rows[].members.error'
    """
    asked = {"user": user, "ip": ip, "session": session, "request": request}
    subject = {name: value for name, value in asked.items() if value is not None}
    if len(subject) != 1 or not all(subject.values()):
        raise UsageError("one of --user, --ip, --session and --request is needed")
    first, last = span(start, end)
    from flows.trail.access import Access, reader
    from flows.trail.covered import proof_of
    from flows.trail.reader import Trail
    from flows.trail.timeline import timeline as rows_of
    from flows.trail.written_timeline import FORMATS

    (of, value) = next(iter(subject.items()))
    opened = Trail.open(trail, Path(keys), access=Access("timeline", reader(by)))
    if of == "user":
        tenant = tenant_of(opened, value, tenant)
    rows = rows_of(opened, subject, proof_of(trail), tenant=tenant, start=first, end=last)
    row = next(rows, None)
    if row is None:
        raise InputError(f"{trail}: nothing of {of} {value}{told_range(tenant, start, end)}")
    head: dict[str, Any] = {"by": of, "value": value, "tenant": tenant, "from": start, "to": end}
    write(FORMATS["json" if json else form.value](head, chain([row], rows)), output)


def tenant_of(trail: "Trail", name: str, tenant: str | None) -> str:
    """The tenant in which a name leads to somebody.

    Raises
    ------
    InputError
        There is none.
    UsageError
        There are several, and none was chosen.
    """
    from flows.trail.timeline import known

    if trail.keys is None:
        raise ValueError("nobody is found by name without keys")
    found = known(trail.keys, [tenant] if tenant is not None else trail.tenants(), name)
    if not found:
        where = f" in tenant {tenant}" if tenant is not None else ""
        raise InputError(f"{trail.place}: nobody is known as {name}{where}: never seen, or erased")
    if len(found) > 1:
        raise UsageError(f"{name} is known in tenants {', '.join(found[:5])}: choose one by --tenant")
    return found[0]


def told_range(tenant: str | None, start: str | None, end: str | None) -> str:
    """The tenant and range that were asked for, as words.

    >>> told_range("acme", "2026-11-02", None), told_range(None, None, None)
    (' in tenant acme from 2026-11-02', '')
    """
    words = (("in tenant", tenant), ("from", start), ("to", end))
    return "".join(f" {word} {value}" for word, value in words if value is not None)


def write(pieces: Iterator[str], output: str | None) -> None:
    """Write a result to a file, which has its name when it is complete, or to stdout.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    from flows.output_file import is_plain, opened, replacing

    if output is None or output == "-":
        for piece in pieces:
            sys.stdout.write(piece)
        return
    try:
        with replacing(output) if is_plain(output) else opened(output) as file:
            for piece in pieces:
                file.write(piece.encode())
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror})") from error
