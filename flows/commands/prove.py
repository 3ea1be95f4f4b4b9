"""`lapwing prove`: that one event is what was signed, for whoever has neither the trail nor Lapwing."""

from typing import Annotated

import typer

from flows.commands.console import result
from flows.commands.options import Tenant, TrailPlace
from flows.errors import UsageError


def prove(
    trail: TrailPlace,
    event: Annotated[
        str | None, typer.Argument(metavar="EVENT_ID", help="The event's id; of other tables, the uid.")
    ] = None,
    log: Annotated[
        str | None, typer.Option("--log", metavar="L", help="Instead of an id: the log, with --leaf.")
    ] = None,
    leaf: Annotated[int | None, typer.Option("--leaf", metavar="N", min=0, help="The row's number in its log.")] = None,
    kind: Annotated[str, typer.Option("--table", metavar="TABLE", help="events, alerts, verdicts ...")] = "events",
    tenant: Tenant = None,
) -> None:
    """Print the proof that an event is in the trail as it was signed, as JSON.

    In it are the row as it is stored (what is personal sealed), its place, the path to the root of the first
    checkpoint after it, and the public keys. docs/verify_proof.py checks it without Lapwing. An id that never was, and
    a row that is under no checkpoint yet, are exit code 3.

    \b
    Examples:
      lapwing prove evt-1 --trail trail > proof.json
      lapwing prove --log events.ndjson --leaf 17 --tenant acme --trail trail
      lapwing prove 8e97019742e29a99c4fcdba5576db33b --table alerts --trail trail
      python docs/verify_proof.py proof.json public-keys.txt
    """
    from flows.trail import prove as proving
    from flows.trail.schema import KINDS

    if kind not in KINDS:
        raise UsageError(f"--table: Expected one of {', '.join(KINDS)}")
    if (event is None) == (log is None) or (log is None) != (leaf is None):
        raise UsageError("name an event by its id, or a row by --log and --leaf")
    result(proving.prove(trail, kind, id_=event, log=log, leaf=leaf, tenant=tenant))
