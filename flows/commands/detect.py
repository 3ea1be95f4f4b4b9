"""`lapwing detect`: score every event of an input and raise alerts."""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from flows import kernels_cache, log
from flows.commands.console import plain, result
from flows.commands.engine import noise_held_back
from flows.commands.life import began
from flows.commands.options import ConfigFile, InputFormat, Json, Quiet
from flows.commands.progress import live
from flows.commands.stopping import say_stopped, stoppable
from flows.config import Config, load
from flows.errors import UsageError
from flows.format_block import unread
from flows.geo_block import silenced

_COUNTED = ("scored", "dead_letters", "incidents", "alerts", "late", "evictions", "restarts")


def detect(
    config: ConfigFile = None,
    source: Annotated[
        str | None,
        typer.Option("--input", metavar="PATH|DIR|-|synthetic|kafka", help="ndjson, also .gz and .zst; - is stdin."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="DIR|-|kafka", help="Folder of the result files; - prints alerts only."),
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="DIR", help="Remember here, and go on from here next time.")
    ] = None,
    input_format: InputFormat = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="earliest|latest|TIME", help="Where a first run over a topic begins."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="end|TIME", help="Read a topic to where it ends now, or to a time, and end."),
    ] = None,
    on_gap: Annotated[
        str | None,
        typer.Option("--on-gap", metavar="fail|earliest", help="When retention has removed what was to be read next."),
    ] = None,
    learn_until: Annotated[
        str | None,
        typer.Option(
            "--learn-until",
            metavar="now|TIME",
            help="A first run only learns from what ended before; later runs keep it.",
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", metavar="N", help="Processes of this machine that share the work.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="[HOST:]PORT", help="Serve /metrics, /healthz and /readyz there."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start from nothing; what --state DIR holds is kept in DIR/previous."),
    ] = False,
    accept_rewarm: Annotated[
        bool,
        typer.Option("--accept-rewarm", help="Detectors that have changed begin anew; all else that is saved is kept."),
    ] = False,
    close: Annotated[
        bool, typer.Option("--close", help="Close windows and incidents at the end of the input, also with --state.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score every event of an input and raise alerts.

    \b
    Writes DIR/scored.ndjson, alerts.ndjson, suppressed.ndjson, actions.ndjson, dead-letters.ndjson and
    windows.parquet.
    Without --state results there are replaced; with it they are continued, exactly once.

    \b
    Examples:
      lapwing detect --input events.ndjson --output out
      lapwing detect --input logs/ --output out --state state
      lapwing detect --input okta.ndjson --format okta --output out
      zcat events.gz | lapwing detect --input - --output - | jq .message
      lapwing detect --config config.toml --json
      lapwing detect --input kafka --output kafka --state state --start latest
      lapwing detect --config config.toml --state state --fresh
    """
    with stoppable() as stop:
        flags: dict[str, object] = {
            "input.path": source,
            "output.path": output,
            "state.path": state,
            "input.format": input_format,
        }
        flags |= {"time.learn_until": learn_until, "kafka.start": start, "kafka.until": until, "kafka.on_gap": on_gap}
        flags |= {"run.processes": processes}
        flags |= {"metrics.listen": metrics}
        chosen = load(config, {key: value for key, value in flags.items() if value is not None})
        where_from, where_to = _ends(chosen, json)
        kept = chosen.state.path or None
        if where_from == "kafka" and kept is None:
            raise UsageError("a topic has no end, and a run over it must know where to go on: give --state DIR")
        if fresh and kept is None:
            raise UsageError("--fresh starts a state from nothing: give --state DIR")
        if where_from == "kafka" and not chosen.kafka.until:
            log.lasting()
        tell = log.hushed if quiet else log.say
        for warning in (*unread(chosen.input.format, chosen.format), *silenced(chosen.input.geo, chosen.detection)):
            tell(warning)
        settle = kernels_cache.announce(tell)
        run = _running(chosen)
        began(
            chosen, input=_kind(where_from), output=_kind(where_to), processes=chosen.run.processes,
            keeps_state=bool(kept),
        )  # fmt: skip
        from flows.connectors.output_directory import existing_results
        from flows.metrics import observing
        from flows.state_identity import read_identity

        anew = kept is None or fresh or read_identity(kept) is None
        if where_to != "-" and anew and (replaced := existing_results(where_to)):
            why = "the state starts from nothing" if kept else "with --state results are continued"
            tell(f"replacing {', '.join(replaced)} in {where_to} ({why})")
        crowded = where_to == "-" and sys.stdout.isatty()
        with noise_held_back(), observing(chosen, tell) as observed, live(quiet or crowded) as on_progress:
            done = run(
                chosen, where_from, where_to, kept, close, chosen.input.format, stop.event, on_progress, observed,
                fresh=fresh, accept_rewarm=accept_rewarm, tell=log.say if fresh or accept_rewarm else tell,
            )  # fmt: skip
        if done.interrupted:
            say_stopped(stop, kept)
        if done.scored or not done.interrupted:
            settle()
        if log.as_json():
            counts = {name: getattr(done, name) for name in _COUNTED}
            log.record("stop", _summary(done), exit_code=stop.exit_code, interrupted=done.interrupted, **counts)
        else:
            tell(_summary(done))
        if done.dead_letters and not done.scored and not done.restarts:
            tell("no message became an event: lapwing map --sample FILE, with the same --config and --format, says why")
        if json:
            result(done)
        raise typer.Exit(stop.exit_code)


def _kind(end: str) -> str:
    """What an input or output is, without its name."""
    return end if end in ("kafka", "synthetic") else {"-": "pipe"}.get(end, "files")


def _running(config: Config) -> Callable[..., Any]:
    """What runs the flow: in this process, or in several."""
    if config.run.processes > 1:
        from flows.cluster import run as run_cluster

        return partial(run_cluster, on_restart=partial(log.say, event="restart", level="warning"))
    from flows.detect import run

    return run


def _ends(config: Config, json: bool) -> tuple[str, str]:
    """Input and output, checked against each other."""
    source, output = config.input.path, config.output.path
    if not source:
        raise UsageError("no input: give --input PATH, DIR, - or synthetic, or set path under [input] in the config")
    if not output:
        raise UsageError("no output: give --output DIR or -, or set path under [output] in the config")
    if output == "-" and json:
        raise UsageError("--output - and --json both want stdout: write the alerts to a folder, or leave --json out")
    if output != "-" and os.path.isdir(source):
        inside = os.path.realpath(source)
        if os.path.commonpath([inside, os.path.realpath(output)]) == inside:
            raise UsageError(
                f"the output {output} lies inside the input {source}, so a next run would read its results"
            )
    from flows.connectors.output_directory import existing_results

    if output != "-" and os.path.realpath(source) in {
        os.path.realpath(os.path.join(output, name)) for name in existing_results(output)
    }:
        raise UsageError(f"the input {source} is a result file of the output {output} and would be overwritten")
    return source, output


def _summary(done: Any) -> str:
    merged = f" ({done.merged:,} merged into others)" if done.merged else ""
    rate = done.events / done.seconds if done.seconds > 0 else 0
    text = (
        f"{done.events:,} messages in {done.seconds:.1f} s ({rate:,.0f}/s): {done.scored:,} scored, "
        f"{done.dead_letters:,} dead letters, {done.incidents:,} incidents{merged}, {done.alerts:,} alerts, "
        f"{done.windows:,} windows"
    )
    kept_back = [f"{done.digested:,} incidents in digests only"] if done.digested else []
    kept_back += [f"{n:,} suppressed by exception {plain(name)}" for name, n in done.suppressed.items() if n]
    kept_back += [f"{done.muted:,} muted"] if done.muted else []
    kept_back += [f"{n:,} of {plain(name)} in shadow" for name, n in done.shadow.items() if n]
    text += f"; besides {', '.join(kept_back)}" if kept_back else ""
    odd = [f"{count:,} {name}" for name, count in (("late", done.late), ("overtaken", done.overtaken)) if count]
    odd += [f"{done.evictions:,} evictions"] if done.evictions else []
    text += f" ({', '.join(odd)})" if odd else ""
    text += f"; counted since the last of {done.restarts} restarts" if done.restarts else ""
    return text + (f"; files: {' '.join(done.files)}" if done.files else "")
