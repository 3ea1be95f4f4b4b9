"""The `lapwing` command: arguments, progress and exit codes only."""

import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows import log
from flows.commands import (
    archive,
    backtest,
    blocklist,
    canary,
    check,
    compare,
    completeness,
    config,
    dead_letters,
    detect,
    detectors,
    encode,
    fields,
    forward,
    hold,
    incident,
    incidents,
    insights,
    lab,
    map,
    mute,
    profile,
    prove,
    retention,
    score,
    simulate,
    state,
    subject,
    test,
    timeline,
    trail,
    troubleshoot,
    tune,
    verdict,
    verdicts,
    verify,
)
from flows.commands.engine import mistake
from flows.errors import ConfigError, OutputError, UsageError


class _Group(TyperGroup):
    """Commands whose reader may walk away: a broken pipe is an error like any other, with its line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still buffered can go nowhere; the interpreter would complain of it on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputError("the reader of the output has gone (broken pipe)") from None
        return done


app = typer.Typer(
    cls=_Group,
    name="lapwing",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("detect")(detect.detect)
app.command("simulate")(simulate.simulate)
app.command("check")(check.check)
app.command("config")(config.config)
app.command("test")(test.check_examples)
app.command("compare")(compare.compare)
app.command("completeness")(completeness.completeness)
app.command("backtest")(backtest.backtest)
app.command("score")(score.score)
app.command("encode")(encode.encode)
app.command("fields")(fields.fields)
app.command("blocklist")(blocklist.blocklist)
app.command("detectors")(detectors.detectors)
app.command("forward")(forward.forward)
app.command("lab")(lab.lab)
app.command("map")(map.map_samples)
app.command("verdict")(verdict.verdict)
app.command("verdicts")(verdicts.verdicts)
app.command("incidents")(incidents.incidents)
app.command("incident")(incident.incident)
app.command("mute")(mute.mute)
app.command("unmute")(mute.unmute)
app.command("tune")(tune.tune)
app.command("archive")(archive.archive)
app.command("timeline")(timeline.timeline)
app.command("profile")(profile.profile)
app.command("verify")(verify.verify)
app.command("prove")(prove.prove)
app.add_typer(trail.app, name="trail")
app.command("insights")(insights.insights)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(state.app, name="state")
app.add_typer(troubleshoot.app, name="troubleshoot")
app.add_typer(subject.app, name="subject")
app.add_typer(hold.app, name="hold")
app.add_typer(retention.app, name="retention")
app.add_typer(canary.app, name="canary")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"lapwing {version('lapwing')}")
        raise typer.Exit


@app.callback()
def lapwing(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Score every identity audit event live, and raise the alerts a SIEM takes as they are.

    \b
    Examples:
      lapwing simulate --events 100000 --seed 1 --output demo/events.ndjson
      lapwing detect --input demo/events.ndjson --output demo
      lapwing compare demo/alerts.ndjson demo/events.ndjson.truth.ndjson

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused, 130 Ctrl-C.

    LAPWING_LOG=json or text in the environment says how stderr is written. Without it a run that goes on until it is
    stopped (over Kafka, forward --follow, canary run) writes one JSON object a line where stderr is no terminal.
    """
    if (chosen := os.environ.get(log.VARIABLE, "text")) not in log.FORMATS:
        raise UsageError(f"{log.VARIABLE} is {' or '.join(log.FORMATS)}, not {chosen[:20]!r}")


def main() -> None:
    """The console script. A user's mistake is one line on stderr; a bug of ours keeps its traceback.

    A configuration has a line for each fault.
    """
    try:
        app()
    except ConfigError as error:
        if not log.as_json():
            print("\n".join(error.faults), file=sys.stderr)
        for fault in error.faults:
            log.record("error", fault, "error", exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except Exception as error:
        found = mistake(error)
        if found is None:
            if log.as_json():
                log.bug(error)
                sys.exit(1)
            raise
        log.say(" ".join(str(found).split("\n")), "error", "error", exit_code=found.exit_code)
        sys.exit(found.exit_code)
