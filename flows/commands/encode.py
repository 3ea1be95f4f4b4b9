"""`lapwing encode`: alerts and scored events in the form that a SIEM takes, lines in, lines out."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import plain, say
from flows.errors import InputError, UsageError
from flows.formats.siem_event import Form, NoRecord
from flows.result_lines import LONGEST, raw_lines

_TOLD = 10
"""So many bad lines are told one by one; all are counted."""


def encode(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="alerts.ndjson, scored.ndjson, or - for stdin.")],
    to: Annotated[Form, typer.Option("--to", help="What to write.")],
    min_risk: Annotated[int, typer.Option("--min-risk", metavar="N", help="Only records of this risk or more.")] = 0,
    slimmed: Annotated[
        bool, typer.Option("--slim", help="Scored events with ids and scores only: no user, no address.")
    ] = False,
) -> None:
    """Write each alert or scored event as one line in the form that a SIEM takes, on stdout.

    A line that is neither is told on stderr and counted; the others are written all the same, and the exit code is 1.
    A scored event whose risk is not known has none: --min-risk leaves it out.

    \b
    Forms:
      ocsf    OCSF 1.8.0: alerts as they are, scored events as Authentication, Account Change or API Activity
      ecs     Elastic Common Schema, for Elasticsearch and OpenSearch
      cef     Common Event Format, for ArcSight, Sentinel and many others
      leef    LEEF 2.0, for QRadar
      syslog  RFC 5424 with structured data, for rsyslog, syslog-ng and others
      hec     the envelope of Splunk's HTTP Event Collector

    \b
    Examples:
      lapwing encode out/alerts.ndjson --to cef
      lapwing detect --input events.ndjson --output - | lapwing encode - --to ecs --min-risk 60
      lapwing encode out/scored.ndjson --to hec --slim --min-risk 40 > scored.hec
    """
    if not 0 <= min_risk <= 100:
        raise UsageError(f"--min-risk {min_risk} is none: a risk runs from 0 to 100")
    from flows.formats.siem import ENCODERS, at_least, kind_of, slim

    form, name = ENCODERS[to], "stdin" if source == "-" else source
    bad = 0
    for number, line in enumerate(_lines(source), 1):
        record = line.rstrip(b"\r\n")
        try:
            kind = kind_of(record)
            if not at_least(record, kind, min_risk):
                continue
            if slimmed and kind == "scored":
                record = slim(record)
            sys.stdout.buffer.write(form(record, kind) + b"\n")
        except NoRecord as error:
            bad += 1
            if bad <= _TOLD:
                say(f"{name}: line {number}: {plain(error)}")
    sys.stdout.buffer.flush()
    if bad:
        raise InputError(f"{name}: {bad:,} of {number:,} lines could not be encoded")


def _lines(source: str) -> Iterator[bytes]:
    if source != "-":
        yield from raw_lines(Path(source))
        return
    while line := sys.stdin.buffer.readline(LONGEST):
        yield line
