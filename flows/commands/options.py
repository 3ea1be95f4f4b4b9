"""Options that several commands have, spelled once."""

from typing import Annotated

import typer

ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="TOML file; the defaults need none.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help="Format of the input: lapwing, auto, a platform's or a [[format]]'s."
    ),
]
TrailPlace = Annotated[str, typer.Option("--trail", metavar="DIR|URL", help="Where the audit trail lies.")]
Keys = Annotated[str, typer.Option("--keys", metavar="DIR", help="Where the trail's keys lie: apart from it.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="T", help="Only this tenant.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Date or RFC 3339 time, inclusive.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Date or RFC 3339 time, exclusive.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who does this; else who runs the command.")]
