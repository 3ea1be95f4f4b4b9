"""`lapwing test`: do the detections fire on the examples that stand beside them, and on nothing else?"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import kernels_cache
from flows.commands.console import columns, plain, result, say
from flows.commands.engine import noise_held_back
from flows.commands.options import Json
from flows.commands.stopping import stoppable
from flows.config import load
from flows.errors import ConfigError, UsageError
from flows.structure import meant, shown

if TYPE_CHECKING:
    from flows.examples import Outcome


def check_examples(
    file: Annotated[str, typer.Argument(metavar="CONFIG", help="config.toml with [[detection.example]].")],
    detection: Annotated[
        str | None, typer.Option("--detection", metavar="ID", help="Only this one's examples.")
    ] = None,
    json: Json = False,
) -> None:
    """Run the examples that stand beside the detections, each alone through the real flow.

    An example says which events there are and whether its detection fires on them. One that is not as expected is
    printed with what fired instead, and with what was measured beside each bound. Nothing of a run is kept.

    \b
    Examples:
      lapwing test config.toml
      lapwing test config.toml --detection spray_from_tools
      lapwing test config.toml --json

    \b
    Exit codes: 0 all as expected, 1 some not, 2 a wrong configuration or example.
    """
    config = load(file)
    ids = [rule.id for rule in config.detection]
    if detection is not None and detection not in ids:
        raise UsageError(f"no detection {shown(detection)}{meant(detection, ids)}")
    chosen = [one for one in config.example if detection in (None, one.detection)]
    if not chosen:
        of = f" of detection {detection}" if detection else ""
        raise UsageError(f"{file}: no example{of}; docs/detections.md says how to write one")
    settle = kernels_cache.announce(say)

    from flows.examples import run_example

    outcomes: list[Outcome] = []
    faults: list[str] = []
    with stoppable() as stop, noise_held_back():
        for example in chosen:
            try:
                outcomes.append(run_example(config, Path(file).parent, example, stop.event))
            except ConfigError as error:
                faults += [f"{file}: {fault}" for fault in error.faults]
            if stop.event.is_set():
                raise typer.Exit(stop.exit_code or 1)
    if faults:
        raise ConfigError(faults)
    settle()
    wrong = sum(not one.passed for one in outcomes)
    if json:
        result({"examples": outcomes, "passed": len(outcomes) - wrong, "failed": wrong})
    else:
        print(_text(outcomes))
    raise typer.Exit(1 if wrong else 0)


def _text(outcomes: Sequence["Outcome"]) -> str:
    lines = [columns([("", "detection", "example", "expected", "found"), *map(_row, outcomes)], "")]
    for one in outcomes:
        if not one.passed:
            lines += ["", *_why(one)]
    wrong = sum(not one.passed for one in outcomes)
    return "\n".join([*lines, "", f"{len(outcomes) - wrong} as expected, {wrong} not"])


def _row(one: "Outcome") -> tuple[str, ...]:
    from flows.examples import told

    if one.fired:
        found = "; ".join(told(one.fired[:3])) + (f"; and {len(one.fired) - 3} more" if len(one.fired) > 3 else "")
    elif not one.measured:
        found = "silent"
    else:
        short = next((seen for seen in one.measured if not seen.holds), one.measured[0])
        found = f"silent: {short.value:g}, {short.bound}"
    return "ok" if one.passed else "FAIL", one.detection, one.name, one.expected, found


def _why(one: "Outcome") -> list[str]:
    from flows.examples import told

    events = f"{one.events:,} events" + (f", {one.dead_letters:,} dead letters" if one.dead_letters else "")
    lines = [f"{one.detection}, {one.name}: expected {one.expected} ({events}; {one.path})"]
    lines += [f"  fired     {text}" for text in told(one.fired)]
    for detection, others in groupby(one.others, key=lambda other: other.detection):
        lines += [f"  instead   {detection}, {text}" for text in told(others)]
    lines += [f"  measured  {seen.value:g} for {seen.entity or 'nobody'}: {seen.bound}" for seen in one.measured]
    return [plain(line) for line in lines]
