"""`lapwing backtest`: a configuration over history, before it goes live."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows import kernels_cache, log
from flows.commands.console import result, say
from flows.commands.engine import noise_held_back
from flows.commands.moments import minute
from flows.commands.options import ConfigFile, InputFormat, Json, Quiet
from flows.commands.progress import live
from flows.commands.stopping import stoppable
from flows.config import Config, load
from flows.errors import ConfigError, UsageError


def backtest(
    output: Annotated[
        str, typer.Option("--output", metavar="DIR", help="Folder of both sides' results and the report.")
    ],
    config: ConfigFile = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="OLD", help="Another configuration, run beside it.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--input", metavar="PATH|DIR|kafka|trail", help="The history; as in lapwing detect, or a trail."),
    ] = None,
    input_format: InputFormat = None,
    trail: Annotated[
        str | None, typer.Option("--trail", metavar="DIR|URL", help="With --input trail: where it lies.")
    ] = None,
    keys: Annotated[str | None, typer.Option("--keys", metavar="DIR", help="With --input trail: its keys.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Report from here; what comes before is learned from (warm-up)."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Report up to here, exclusive.")] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="FILE", help="Labelled attacks: PATH.truth.ndjson of a simulation.")
    ] = None,
    verdicts: Annotated[
        str | None,
        typer.Option(
            "--verdicts", metavar="DIR|FILE", help="What `lapwing verdict` wrote: precision of what was judged."
        ),
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="DIR", help="Begin from a copy that lapwing state save wrote.")
    ] = None,
    accept_rewarm: Annotated[
        bool,
        typer.Option("--accept-rewarm", help="With --state: detectors that have changed begin anew."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a configuration over history, and say what it would have told.

    The flow is the one that runs live. Incidents are counted from --from to --to, dates or RFC 3339 times of events;
    what is cut at either end is marked. Stopped or killed, the same command goes on where it was; a side that is done
    is not run again unless its configuration or the input changes.

    \b
    Writes DIR/report.html and DIR/report.json, and what detect writes to DIR/new and DIR/old.

    \b
    Examples:
      lapwing backtest --config new.toml --input logs/ --output trial
      lapwing backtest --config new.toml --against config.toml --input logs/ --from 2026-11-08 --output trial
      lapwing backtest --config new.toml --input kafka --state saved --to 2026-11-23T05:00:00Z --output trial
      lapwing backtest --input e.ndjson --truth e.ndjson.truth.ndjson --output trial --json
      lapwing backtest --config new.toml --against config.toml --input logs/ --verdicts out --output trial
      lapwing backtest --config new.toml --input trail --trail trail --keys keys --output trial
    """
    new, old = _configs(config, against, input_format)
    source = source or new.input.path
    if not source:
        raise UsageError("no input: give --input PATH, DIR or kafka, or set path under [input] in the config")
    from flows.backtest.page import page
    from flows.backtest.run import Asked
    from flows.backtest.run import backtest as work
    from flows.backtest.text import render
    from flows.backtest.written import write

    asked = Asked(
        new=(config or "the defaults", new),
        old=(against or "", old) if old else None,
        input=source,
        output=Path(output),
        start=minute(start, "--from"),
        end=minute(end, "--to"),
        truth=truth,
        verdicts=verdicts,
        state=state,
        accept_rewarm=accept_rewarm,
        replay=_replay(source, trail, keys),
    )
    with stoppable() as stop:
        tell = log.hushed if quiet else log.say
        settle = kernels_cache.announce(tell)
        with noise_held_back():
            report = work(asked, stop.event, partial(live, quiet), tell)
        if report is None:
            say("stopped; the same command goes on where it ended")
            raise typer.Exit(stop.exit_code)
        settle()
        files = write(asked.output, report, page(report))
        if json:
            result(report)
        else:
            console = Console()
            # Without a terminal there is no width to fit into, and a cut cell helps nobody.
            (console if console.is_terminal else Console(width=140)).print(render(report))
        tell(f"report: {' '.join(files)}")
        raise typer.Exit(stop.exit_code)


def _replay(source: str, trail: str | None, keys: str | None) -> Any:
    """The trail that is played again, None where the input is another."""
    if (source == "trail") != (trail is not None) or (keys is not None) != (trail is not None):
        raise UsageError("a trail is played again with --input trail --trail DIR --keys DIR")
    if trail is None or keys is None:
        return None
    from flows.trail.access import Access, reader
    from flows.trail.replay import Replay

    return Replay.open(trail, Path(keys), Access("backtest", reader(None)))


def _configs(new: str | None, old: str | None, input_format: str | None) -> tuple[Config, Config | None]:
    """Both configurations, or the faults of both at once."""
    found: list[Config] = []
    faults: list[str] = []
    for path in [new] if old is None else [new, old]:
        try:
            found.append(load(path, {} if input_format is None else {"input.format": input_format}))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return found[0], found[1] if old is not None else None
