"""`lapwing compare`: the alerts of a run beside the attacks that were in its input."""

from typing import Annotated

import typer
from rich.console import Console

from flows.commands.console import result
from flows.commands.options import Json


def compare(
    alerts: Annotated[str, typer.Argument(metavar="ALERTS", help="alerts.ndjson of a run.")],
    truth: Annotated[str, typer.Argument(metavar="TRUTH", help="PATH.truth.ndjson of a simulation.")],
    json: Json = False,
) -> None:
    """Print each attack beside the incidents that found it: detected or missed, how fast, and the false ones.

    An incident finds an attack if they share an entity and overlap in time within 60 seconds. By kind, "as expected"
    counts the attacks that a detection made for such found; an attack may be found by another one first.

    \b
    Example:
      lapwing compare demo/alerts.ndjson demo/events.ndjson.truth.ndjson
    """
    from flows.compare import compare as match
    from flows.compare import render

    found = match(alerts, truth)
    if json:
        result(found)
        return
    console = Console()
    if not console.is_terminal:
        # Without a terminal there is no width to fit into, and a cut cell helps nobody.
        console = Console(width=140)
    console.print(render(found))
