"""`lapwing completeness`: has all come, or is there no alert because there is no data."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import columns, plain, result
from flows.commands.moments import length, millis
from flows.commands.options import ConfigFile, Json
from flows.config import load
from flows.errors import Refused
from flows.formats.source_formats import AUTO

if TYPE_CHECKING:
    from flows.completeness import Completeness, Gap

_SHOWN = 3


def completeness(
    source: Annotated[str, typer.Option("--input", metavar="DIR|kafka", help="A folder of results, or the topics.")],
    config: ConfigFile = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From this time on, as 2026-11-23T05:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to before this time.")] = None,
    sequence: Annotated[
        str, typer.Option("--sequence", metavar="MEMBER", help="The member in which a tenant's events are numbered.")
    ] = "",
    silence: Annotated[
        str | None, typer.Option("--silence", metavar="TIME", help="A tenant silent for longer, '1h', is missing.")
    ] = None,
    json: Json = False,
) -> None:
    """Say of each tenant and partition what is missing, came twice, was silent, or waits.

    Of files, times are those of the events; of topics those of the records. Tenants and ids are read in the format that
    the configuration says, of files without one in the format that each event looks like. Duplicates are equal ids of
    a tenant among the last 200,000. Offsets that were passed over are no loss by themselves: transactions and
    compaction leave some.

    Exit code 3 if something is missing: numbers of a sequence, messages that retention removed unread or that are
    neither scored nor a dead letter, a tenant silent for longer than --silence, or everything.

    \b
    Examples:
      lapwing completeness --input out
      lapwing completeness --input out --sequence seq --silence 1h --json
      lapwing completeness --input kafka --config config.toml --from 2026-11-23T00:00:00Z --to 2026-11-24T00:00:00Z
    """
    from flows.completeness import END_OF_TIME_MS, Tenants, of_directory, of_topics
    from flows.format_block import members_of

    first, last = millis(since, "--from"), millis(until, "--to")
    begin, end = 0 if first is None else first, END_OF_TIME_MS if last is None else last
    longest = None if silence is None else length(silence, "--silence") / 1e6
    chosen = load(config)
    if source == "kafka":
        members = members_of(chosen.input.format, chosen.format)
        # What was late by its own time belongs to its record's
        found = of_topics(chosen, Tenants(0, END_OF_TIME_MS, sequence, members), begin, end, longest)
    else:
        members = members_of(AUTO if config is None else chosen.input.format, chosen.format)
        found = of_directory(source, Tenants(begin, end, sequence, members), longest)
    if json:
        result(found)
    else:
        print(_text(found))
    if found.missing:
        raise Refused("; ".join(plain(line) for line in found.missing))


def _text(found: "Completeness") -> str:
    unscored = "" if found.unscored is None else f", {found.unscored:,} events nowhere"
    lines = [f"{found.events:,} events scored, {found.dead_letters:,} dead letters{unscored}"]
    if found.partitions:
        heads = ("partition", "messages", "lag", "lost", "passed over")
        rows = [
            (
                f"{one.topic}/{one.partition}",
                one.messages,
                "-" if one.lag is None else one.lag,
                one.lost,
                _gaps(one.passed_over, one.gaps),
            )
            for one in found.partitions
        ]
        lines += ["", columns([heads, *rows])]
    if found.tenants:
        tenants = [
            (
                one.tenant, one.events, one.duplicates, f"{one.longest_silence_s:.0f} s", f"{one.silent_s:.0f} s",
                "-" if one.missing is None else _gaps(one.missing, one.gaps),
            )
            for one in found.tenants
        ]  # fmt: skip
        lines += ["", columns([("tenant", "events", "twice", "longest silence", "silent now", "missing"), *tenants])]
    return "\n".join(lines)


def _gaps(count: int, gaps: "list[Gap]") -> str:
    if not count:
        return "0"
    listed = ", ".join(f"{one.first}-{one.last}" if one.first < one.last else str(one.first) for one in gaps[:_SHOWN])
    return f"{count:,} ({listed}{', ...' if len(gaps) > _SHOWN else ''})"
