"""Options that several commands have, spelled once."""

from typing import Annotated

import typer

ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="TOML file; the defaults need none.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
