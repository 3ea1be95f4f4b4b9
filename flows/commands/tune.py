"""`lapwing tune`: the limit that keeps a detection within a budget of incidents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from flows.commands.console import columns, plain, result, say
from flows.commands.options import ConfigFile, Json
from flows.config import load
from flows.errors import ConfigError, OutputError, Refused

if TYPE_CHECKING:
    from flows.tuning import Answer, Recall, Tuned

_NEW = "config.toml"


def tune(
    budget: Annotated[
        str, typer.Option("--budget", metavar="RATE", help="Incidents of a detection: 20/day, 1/hour, 3/week.")
    ],
    source: Annotated[
        str, typer.Option("--input", metavar="DIR", help="A folder that `lapwing detect --output` has written.")
    ],
    config: ConfigFile = None,
    detection: Annotated[
        list[str] | None,
        typer.Option("--detection", metavar="ID", help="Only this one; may be given again. Left out: each, by itself."),
    ] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="FILE", help="Labels: which attacks are found, which are lost.")
    ] = None,
    verdicts: Annotated[
        str | None,
        typer.Option(
            "--verdicts", metavar="DIR|FILE", help="What `lapwing verdict` wrote: which of what was judged stays."
        ),
    ] = None,
    attacks: Annotated[
        int,
        typer.Option(
            "--attacks", min=0, max=1_000, metavar="N", help="Mix so many simulated ones into the events; a whole run."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, metavar="S", help="Of those attacks.")] = 1,
    horizon: Annotated[
        int,
        typer.Option("--horizon", min=1, max=366, metavar="DAYS", help="The days to come that the interval is for."),
    ] = 7,
    write: Annotated[
        str | None, typer.Option("--write", metavar="FILE", help="Write the change to the configuration here.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the limit that keeps a detection within a budget, and write it as a change to the configuration.

    It looks at windows.parquet, not at events: where that cannot say (docs/tuning-budget.md), or where there is too
    little of it, the answer is a reason, and exit code 3. --config must be the file of the run that wrote the windows.

    \b
    Examples:
      lapwing tune --budget 20/day --input out
      lapwing tune --budget 3/week --detection brute_force_user --config config.toml --input out --write change.diff
      lapwing tune --budget 20/day --input demo --truth demo/events.ndjson.truth.ndjson
      lapwing tune --budget 20/day --input out --verdicts out
      patch config.toml < change.diff && lapwing test config.toml
    """
    from flows.budget import budget_of
    from flows.compare import read_truth
    from flows.config_diff import diff, with_limits
    from flows.tuning import detections_of, index_of
    from flows.tuning import tune as answer_of
    from flows.verdicts import read_verdicts

    a_day = budget_of(budget)
    chosen = load(config)
    wanted = detections_of(chosen, detection or [])
    said = read_verdicts(verdicts) if verdicts else None
    if verdicts and not said:
        raise Refused(f"{verdicts}: holds no verdict; `lapwing verdict` writes them")
    answer = answer_of(source, chosen, a_day, wanted, read_truth(truth) if truth else (), horizon, said)
    if attacks and answer.tuned:
        from flows.commands.engine import noise_held_back
        from flows.mixed import simulated_recall

        rules = {rule.id: rule for rule in wanted}
        mixed = []
        for one in answer.tuned:
            index = index_of(source, chosen, rules[one.detection])
            try:
                with noise_held_back():
                    found = simulated_recall(source, chosen, index, one.proposal.limit, attacks, seed)
                mixed.append(msgspec.structs.replace(one, simulated=found))
            except Refused as reason:  # the limit itself is an answer all the same
                say(f"{one.detection}: {reason}")
                mixed.append(one)
        answer = msgspec.structs.replace(answer, tuned=tuple(mixed))
    before = _text(config) if config else ""
    limits = {one.detection: one.proposal.limit for one in answer.tuned if one.proposal.limit != one.now.limit}
    change = diff(before, with_limits(before, chosen, limits), config or _NEW) if limits else ""
    if write and change:
        _write(write, change)
    if json:
        result({**msgspec.to_builtins(answer), "budget_a_day": a_day, "diff": change})
    elif answer.tuned or len(answer.refused) > 1:
        print("\n".join(_told(answer, a_day, change)))
    if not answer.tuned:
        raise Refused(f"{_why(answer)}; what windows do not say `lapwing backtest` answers from the events")
    if write:
        then = f"apply it with `patch {config or _NEW} < {write}`, then `lapwing test` its examples"
        say(f"{write}: {then}" if change else f"{write}: not written, as nothing changes")


def _why(answer: "Answer") -> str:
    names = list(answer.refused)
    return (
        f"{names[0]}: {answer.refused[names[0]]}" if len(names) == 1 else f"none of {len(names)} detections is answered"
    )


def _told(answer: "Answer", a_day: float, change: str) -> list[str]:
    lines = []
    for one in answer.tuned:
        lines += [*_one(one, a_day), ""]
    if answer.refused:
        lines += ["Not answered:", columns([(name, reason) for name, reason in answer.refused.items()]), ""]
    if answer.tuned:
        lines += [change or "The limits in force are those: nothing changes."]
    return lines


def _one(one: "Tuned", a_day: float) -> list[str]:
    found, tail = one.proposal, one.proposal.tail
    lower = "" if found.below is None else f" ({found.below:.2f} expected at {found.limit - 1:g})"
    rows: list[tuple[object, ...]] = [
        ("looked at", f"{one.measure} by {one.dimension}, {one.days} whole days, {one.since} to {one.until}"),
        ("now", f"at_least = {one.now.limit:g}: {one.now.a_day:.2f} incidents a day"),
        (
            "proposed",
            f"at_least = {found.limit:g}: {found.a_day:.2f} a day expected, {found.counted:.2f} counted{lower}",
        ),
        ("interval", f"{found.low:.2f} to {found.high:.2f} a day in the {found.horizon} days to come (95 %)"),
        ("tail", f"{tail.peaks} peaks from {tail.begin:g} on, scale {tail.scale:.3g}, shape {tail.shape:.3g}"),
    ]
    rows += [(what, _recall(given)) for what, given in (("labels", one.labels), ("simulated", one.simulated)) if given]
    if one.judged:
        told = ", ".join(f"{one.judged.proposed[word]} of {n} {word}" for word, n in sorted(one.judged.now.items()))
        rows.append(("judged", f"{told} stay with the proposal" if told else "none of its incidents has a verdict"))
    rows += [
        ("burns it" if at == 0 else "", f"{plain(row.entity)} ({plain(row.tenant)}): {row.incidents}, {row.share:.0%}")
        for at, row in enumerate(one.burners)
    ]
    return [f"{one.detection}: a budget of {a_day:g} a day", columns(rows)]


def _recall(found: "Recall") -> str:
    if not found.attacks:
        return "no attack among them that it should see"
    text = f"{found.now} of {found.attacks} attacks found now, {found.proposed} with the proposal"
    return text + (f"; lost: {', '.join(found.lost[:5])}" if found.lost else "")


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().decode()
    except OSError as error:
        raise ConfigError([f"{path}: Cannot be read ({error.strerror or error})"]) from None


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, newline="")
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error
