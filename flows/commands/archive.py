"""`lapwing archive`: keep what came and what was found, sealed, so that it can be proven and found again."""

from pathlib import Path
from typing import Annotated

import typer

from flows import kernels_cache, log
from flows.commands.console import result
from flows.commands.engine import noise_held_back
from flows.commands.life import began
from flows.commands.options import ConfigFile, Json, Keys, Quiet, TrailPlace
from flows.commands.progress import live
from flows.commands.stopping import stoppable
from flows.config import load


def archive(
    source: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="PATH|DIR|-|kafka",
            help="What detect wrote (its folder, a file of it, or the topics), or raw events.",
        ),
    ],
    trail: TrailPlace,
    keys: Keys,
    config: ConfigFile = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="The input is events as their sources sent them, also where results lie beside."),
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", metavar="earliest|latest|TIME", help="Where topics are begun; the default is earliest."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="end|TIME", help="Read topics to where they end now, or to a time, and end."),
    ] = None,
    on_gap: Annotated[
        str | None,
        typer.Option("--on-gap", metavar="fail|earliest", help="When retention has removed what was to be read next."),
    ] = None,
    compact: Annotated[
        bool, typer.Option(help="Sort days that are over, so that a person's events are found at once.")
    ] = True,
    witness: Annotated[
        str | None,
        typer.Option(
            "--witness", metavar="DIR|FILE", help="A second place for what is signed, best out of this machine's reach."
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep events and results in an audit trail: Delta Lake tables, what is personal sealed for each person.

    Each message is kept once, whatever crashes: the trail itself says how far every file and partition has been read,
    and the next run goes on there. Topics are read until it is stopped, files to their end. What is kept is signed
    once a minute and at the end; `lapwing verify` then finds every change.

    \b
    Examples:
      lapwing archive --input out --trail trail --keys keys
      lapwing archive --input events.ndjson.zst --trail trail --keys keys --witness /mnt/witness
      lapwing archive --input kafka --trail trail --keys keys --config config.toml
      lapwing archive --input kafka --raw --until end --trail s3://bucket/trail --keys keys
    """
    with stoppable() as stop:
        flags = {"kafka.start": start, "kafka.until": until, "kafka.on_gap": on_gap}
        chosen = load(config, {key: value for key, value in flags.items() if value is not None})
        if source == "kafka" and not chosen.kafka.until:
            log.lasting()
        tell = log.hushed if quiet else log.say
        settle = kernels_cache.announce(tell)
        began(chosen, input="kafka" if source == "kafka" else "files", raw=raw)
        from flows.archive import run

        with noise_held_back(), live(quiet) as on_progress:
            done = run(
                chosen, source, trail, Path(keys), stop.event, raw=raw, compact=compact,
                witness=None if witness is None else Path(witness), on_progress=on_progress,
                tell=tell,
            )  # fmt: skip
        if done.interrupted:
            tell("stopped; run it again to go on where it ended")
        if done.events or not done.interrupted:
            settle()
        records = "".join(f", {count:,} {kind.replace('_', ' ')}" for kind, count in done.records.items())
        rate = done.events / done.seconds if done.seconds else 0
        tell(
            f"{done.events:,} events{records}, {done.dead_letters:,} dead letters archived in {done.seconds:.1f} s "
            f"({rate:,.0f} events/s)",
            "stop", exit_code=stop.exit_code, interrupted=done.interrupted, events=done.events,
            dead_letters=done.dead_letters, records=done.records,
        )  # fmt: skip
        if json:
            result(done)
        raise typer.Exit(stop.exit_code)
