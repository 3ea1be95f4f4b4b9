"""`lapwing verdicts`: what people's verdicts say of the detections."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from flows.commands.console import columns, plain, result
from flows.commands.options import ConfigFile, Json
from flows.config import load
from flows.errors import UsageError
from flows.kafka_block import Kafka
from flows.precision import Precision
from flows.verdict_report import Report
from models.exceptions import AlertException

_LONGEST_NOTE = 60


def verdicts(
    source: Annotated[str, typer.Argument(metavar="DIR|kafka", help="Folder of results, or the topics.")] = ".",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Print how often each detection was right, of the incidents that were judged.

    Precision is true / (true + false) with its 95 % interval (Wilson): of few verdicts it is wide. Benign ones count
    for neither. Incidents of detections in shadow count too. Then the entities with most false verdicts, and an
    exception to think about for each that has three false or benign verdicts of a detection and no true one.

    \b
    Examples:
      lapwing verdicts out
      lapwing verdicts out --json | jq '.detections[] | select(.high < 0.5)'
      lapwing verdicts kafka --config config.toml
    """
    from flows.verdict_report import report
    from flows.verdicts import alert_lines, incidents, read_records, read_verdicts

    unreadable = 0
    if source == "kafka":
        from flows.connectors.kafka_topic import values

        block = load(config).kafka
        said, _, unreadable = read_records(values(block, block.topics.verdicts))
        found = incidents(alert_records(block))
    else:
        if config is not None:
            raise UsageError("--config is for kafka")
        said, found = read_verdicts(source), incidents(alert_lines(source))
    made = report(found, said, time.time(), unreadable)
    if json:
        result(made)
    else:
        print(_text(made))


def alert_records(block: Kafka) -> Iterator[bytes]:
    """All alerts of the topics, those that were suppressed too."""
    from flows.connectors.kafka_topic import values

    for topic in (block.topics.alerts, block.topics.suppressed):
        yield from values(block, topic)


def as_toml(one: AlertException) -> str:
    """An exception as a block of the configuration, whatever stands in its texts.

    >>> print(as_toml(AlertException(user="a\\"b", owner="s\\x1boc", reason="r", expiry="2027-01-01T00:00:00Z")))
    [[exception]]
    user = "a\\"b"
    owner = "s?oc"
    reason = "r"
    expiry = "2027-01-01T00:00:00Z"
    """
    given = {key: value for key, value in msgspec.structs.asdict(one).items() if value}
    return "\n".join(
        ["[[exception]]", *(f"{key} = {msgspec.json.encode(plain(value)).decode()}" for key, value in given.items())]
    )


def _text(found: Report) -> str:
    judged = found.incidents - found.unjudged
    lines = [f"incidents  {found.incidents:,}, of which {judged:,} are judged and {found.unjudged:,} are not"]
    if found.unreadable:
        lines.append(f"topic      {found.unreadable:,} records are no verdict")
    heads = ("detection", "precision", "95 %", "true", "false", "benign", "unjudged")
    lines += ["", columns([heads, *map(_row, found.detections)])]
    if found.entities:
        heads = ("most false", "entity", "tenant", "false", "true", "benign", "last note")
        rows = [
            (one.dimension, one.entity, one.tenant, one.false, one.true, one.benign, _short(one.note))
            for one in found.entities
        ]
        lines += ["", columns([heads, *rows])]
    if found.exceptions:
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        lines += ["", f"# Exceptions to think about, as of {today}: each keeps its detection silent about an entity"]
        lines += ["\n\n".join(map(as_toml, found.exceptions))]
    return "\n".join(lines)


def _row(one: Precision) -> tuple[object, ...]:
    share, interval = "-", "-"
    if one.precision is not None and one.low is not None and one.high is not None:
        share, interval = f"{one.precision:.0%}", f"{one.low:.0%} to {one.high:.0%}"
    return one.detection, share, interval, one.true, one.false, one.benign, one.unjudged


def _short(note: str) -> str:
    return note if len(note) <= _LONGEST_NOTE else note[: _LONGEST_NOTE - 1] + "\N{HORIZONTAL ELLIPSIS}"
