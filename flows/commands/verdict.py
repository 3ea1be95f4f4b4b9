"""`lapwing verdict`: say what an incident was."""

from typing import Annotated

import typer

from flows.commands.console import plain, say
from flows.commands.options import ConfigFile
from flows.commands.results import noted, who
from flows.config import load
from flows.errors import UsageError
from flows.verdicts import Word


def verdict(
    uid: Annotated[str, typer.Argument(metavar="UID", help="The incident's uid, or at least 8 digits that begin it.")],
    word: Annotated[Word, typer.Argument(metavar="true|false|benign", help="What it was.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; at most 2,000 characters.")] = "",
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; else who runs this.")] = None,
    output: Annotated[
        str, typer.Option("--output", metavar="DIR|kafka", help="The results that the incident is in.")
    ] = ".",
    config: ConfigFile = None,
) -> None:
    """Say what an incident was: true (an attack), false (a mistake), or benign (right, and permitted).

    Adds a line to DIR/verdicts.ndjson, or a record to the topic of verdicts. Of several on an incident the last counts.
    An incident that is not in the results, or in the topics of alerts and of what is suppressed, is exit code 3.

    \b
    Examples:
      lapwing verdict 8e97019742e29a99 false --note "office proxy" --output out
      lapwing verdict 8e97019742e29a99c4fcdba5576db33b benign --by soc@acme.example --output out
      lapwing verdict 8e970197 true --output kafka --config config.toml
    """
    from flows import verdicts

    note, by = noted(note), who(by)
    if output == "kafka":
        from flows.commands.verdicts import alert_records
        from flows.connectors.kafka_lines import LineSender

        block = load(config).kafka
        incident = verdicts.the_one(alert_records(block), uid, "the topics of alerts")
        where = f"topic {block.topics.verdicts}"
        with LineSender(block, topic=block.topics.verdicts) as sender:
            sender.send(verdicts.encode(verdicts.verdict_on(incident, word, note, by)), incident.uid.encode())
    else:
        if config is not None:
            raise UsageError("--config is for --output kafka")
        incident = verdicts.the_one(verdicts.alert_lines(output), uid, output)
        where = str(verdicts.write_verdict(output, verdicts.verdict_on(incident, word, note, by)))
    about = f"{incident.detection} of {incident.dimension} {incident.entity}"
    say(f"{plain(where)}: {incident.uid}, {plain(about)}, is {word}")
