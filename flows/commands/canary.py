"""`lapwing canary`: attack yourself now and then, and be told when nobody notices."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import log
from flows.commands.console import columns, plain, result, say
from flows.commands.life import began
from flows.commands.moments import micros
from flows.commands.options import ConfigFile, Json, Quiet
from flows.commands.stopping import stoppable
from flows.config import load
from flows.durations import spell
from flows.errors import Refused, UsageError

if TYPE_CHECKING:
    from flows.canary import Report

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Attack yourself now and then, and be told when nobody notices.",
    add_completion=False,
)
Kept = Annotated[str, typer.Option("--state", metavar="DIR", help="Where the attacks and their outcomes are kept.")]


@app.command()
def run(
    state: Kept,
    config: ConfigFile = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, metavar="N", help="End after so many attacks; else when stopped.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz there.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Send a signed attack to the topic of events every so often, and wait for its incident.

    Runs beside the flow, with the same configuration and key. The incident of a signed attack goes to the topic of what
    is suppressed and into no count; any other incident of the canary's tenant is an alert. When it stays away for
    `within`, a finding of detection canary_missing goes to the topic of alerts, and ends with the next that is found.

    With --count exit code 3 says that one was missed.

    \b
    Examples:
      export LAPWING_CANARY_KEY=$(openssl rand -hex 32)          # for detect, and here
      lapwing canary run --config config.toml --state canary
      lapwing canary run --config config.toml --state canary --count 1 && echo found
    """
    from flows.canary import Seen, watch
    from flows.canary_metrics import observing

    flags = {"metrics.listen": metrics}
    chosen = load(config, {key: value for key, value in flags.items() if value is not None})
    if count is None:
        log.lasting()
    tell = log.hushed if quiet else log.say
    began(chosen, every=chosen.canary.every, within=chosen.canary.within)
    seen = Seen(chosen.canary.every_s)
    with stoppable() as stop, observing(chosen.metrics.listen, seen, tell):
        missed = watch(chosen, state, stop.event, seen, tell, count)
        tell(
            f"{seen.sent:,} attacks so far, {seen.found:,} found, {seen.missed:,} missed",
            "stop", exit_code=stop.exit_code, sent=seen.sent, found=seen.found, missed=seen.missed,
        )  # fmt: skip
        if count is not None and missed and not stop.event.is_set():
            raise Refused(f"attacks that raised no incident within {chosen.canary.within}: {missed}")
        raise typer.Exit(stop.exit_code)


@app.command()
def once(
    output: Annotated[
        str,
        typer.Option("--output", metavar="FILE|kafka", help="File of events to add to, - for stdout, or the topic."),
    ],
    config: ConfigFile = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="When it happens, as 2026-11-23T05:00:00Z; else now.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add one signed attack to a file of events, or to the topic, and wait for nothing.

    Where events are files: add one to what is scored next, and ask `lapwing canary report --input OUT` whether its
    incident is there. The same key and time give the same bytes.

    \b
    Examples:
      lapwing canary once --config config.toml --output events/canary.ndjson
      lapwing canary once --config config.toml --output - --at 2026-11-23T05:00:00Z
    """
    from flows.canary import append
    from flows.canary import once as attack
    from flows.connectors.kafka_lines import LineSender

    if json and output == "-":
        raise UsageError("--output - and --json both want stdout: write to a file, or leave --json out")
    chosen = load(config)
    moment = micros(at, "--at")
    user, events = attack(chosen, int(time.time()) if moment is None else moment // 1_000_000)
    if output == "kafka":
        with LineSender(chosen.kafka) as sender:
            for event in events:
                sender.send(event, user.encode())
    elif output == "-":
        for event in events:
            print(event.decode())
    else:
        append(output, events)
    if json:
        result({"user": user, "events": len(events)})
    elif not quiet:
        say(f"{len(events)} failed logins of {user}: {plain(output)}")


@app.command()
def report(
    state: Annotated[str | None, typer.Option("--state", metavar="DIR", help="That of `lapwing canary run`.")] = None,
    source: Annotated[
        str | None, typer.Option("--input", metavar="DIR", help="Or a folder of results with attacks of `once` in it.")
    ] = None,
    config: ConfigFile = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3_660, help="How far back.")] = 90,
    json: Json = False,
) -> None:
    """Say how many attacks were found, how fast, and which were not: proof that detection worked on each day.

    Exit code 3 if one was missed, or if there was none at all.

    \b
    Examples:
      lapwing canary report --state canary --days 90
      lapwing canary report --state canary --json | jq .missed
      lapwing canary report --input out --config config.toml
    """
    from flows.canary import LOG, of_results, read
    from flows.canary import report as made

    if (state is None) == (source is None):
        raise UsageError("give --state DIR of `lapwing canary run`, or --input DIR of results")
    canary = load(config).canary
    if state is not None and not (Path(state) / LOG).is_file():
        raise Refused(f"{state}: no {LOG}, so no canary has run with this --state")
    attacks = list(read(Path(state) / LOG).values()) if state is not None else of_results(str(source), canary)
    found = made(attacks, days, canary.every_s, time.time())
    if json:
        result(found)
    else:
        print(_text(found))
    if not found.attacks:
        raise Refused(f"no attack in {days} days: nobody knows whether detection works")
    if found.missed:
        raise Refused(f"{found.missed} of {found.attacks} attacks raised no incident in time")


def _text(found: "Report") -> str:
    delays = (
        "not known"
        if found.delay_median_s is None
        else f"{found.delay_median_s:.1f} s in the middle, 95 % within {found.delay_p95_s:.1f} s, "
        f"{found.delay_most_s:.1f} s at most"
    )
    rows = [
        ("attacks", f"{found.attacks:,} in {found.days} days, of {found.expected:,} that were due since the first"),
        ("found", f"{found.found:,}"),
        ("missed", f"{found.missed:,}"),
        ("waiting", f"{found.waiting:,}"),
        ("delay", delays),
        ("longest without", spell(int(found.longest_without_s) * 1_000_000)),
    ]
    rows += [("missed", f"{_utc(one.sent)}  {one.user}") for one in found.last_missed]
    return columns(rows, "")


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
