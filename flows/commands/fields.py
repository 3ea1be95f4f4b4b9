"""`lapwing fields`: every member of what Lapwing publishes."""

from typing import Annotated

import typer

from flows.commands.console import columns, result
from flows.commands.options import Json
from flows.formats.field_table import ALERT, JSON_TYPES, SCORED
from flows.formats.siem_event import Kind


def fields(
    kind: Annotated[
        Kind | None, typer.Argument(metavar="[alert|scored]", help="Only of these; both if left out.")
    ] = None,
    json: Json = False,
) -> None:
    """Print each member of an alert and of a scored event's member `lapwing`: type, unit and meaning.

    The rest of a scored event is the source's own.

    \b
    Examples:
      lapwing fields alert
      lapwing fields --json > fields.json
    """
    tables = {"alert": ALERT, "scored": SCORED}
    wanted = {name: table for name, table in tables.items() if kind in (None, name)}
    if json:
        result({name: [one._asdict() for one in table] for name, table in wanted.items()})
        return
    for name, table in wanted.items():
        print(f"{name}:")
        print(columns([(one.path, JSON_TYPES[one.type], one.unit or "-", one.meaning) for one in table]))
