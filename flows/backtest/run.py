"""A backtest: both sides run, and their report."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from flows import log
from flows.backtest import figures, inputs, judged, labels, told, words
from flows.backtest.figures import Span, moment
from flows.backtest.report import Range, Report, Side
from flows.backtest.side import lost, run_side
from flows.config import Config, config_hash
from flows.durations import microseconds
from flows.errors import Refused, UsageError
from flows.formats.truth import Truth, read_truth
from flows.lineage import known_starts
from flows.totals import Progress
from flows.trail.replay import Replay
from flows.verdicts import Verdict, read_verdicts
from models.rules import threshold

_MINUTE_MS: Final = 60_000


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a backtest is to be of. Configurations are (name, configuration); `start` and `end` are epoch ms.

    `state` is a saved state to begin from, `truth` a file of labels, `verdicts` one of verdicts, or a folder with one.
    `replay` is the trail that is read where the input is one.
    """

    new: tuple[str, Config]
    old: tuple[str, Config] | None = None
    input: str
    output: Path
    start: int | None = None
    end: int | None = None
    truth: str | None = None
    verdicts: str | None = None
    state: str | None = None
    accept_rewarm: bool = False
    replay: Replay | None = None


def backtest(
    asked: Asked,
    stop: threading.Event,
    watching: Callable[[], AbstractContextManager[Callable[[Progress], None] | None]],
    tell: log.Say,
) -> Report | None:
    """Run what has not been run, and report; None if `stop` was set before that. `watching` lasts for one side.

    Raises
    ------
    LapwingError
        A side cannot be run, the range has no event, or the labels are of another one.
    """
    if asked.start is not None and asked.end is not None and asked.start >= asked.end:
        raise UsageError(f"--from {moment(asked.start)} is not before --to {moment(asked.end)}: an empty range")
    truth = read_truth(asked.truth) if asked.truth else None
    said = read_verdicts(asked.verdicts) if asked.verdicts else None
    if truth and asked.truth and asked.start is not None and asked.end is not None:
        labels.check(asked.truth, truth, Span(asked.start, asked.end))
    inputs.check_input(asked.input, asked.output)
    until = inputs.plan(asked.output).read_until
    kafka = asked.new[1].kafka
    sides = {"new": asked.new} | ({"old": asked.old} if asked.old else {})
    for name, (label, config) in sides.items():
        tell(f"{name}: {label} into {asked.output / name}")
        with watching() as on_progress:
            done = run_side(
                asked.output / name, inputs.as_history(config, kafka, until), asked.input, asked.state, asked.end, stop,
                on_progress, tell, accept_rewarm=asked.accept_rewarm, replay=asked.replay,
            )  # fmt: skip
        if not done:
            return None
    return _report(asked, truth, said)


def _report(asked: Asked, truth: Sequence[Truth] | None, said: Mapping[str, Verdict] | None) -> Report:
    directory = asked.output / "new"
    events = told.events(directory, microseconds(asked.new[1].time.max_jump) // 1000)
    span, about = _range(asked, events)
    if truth is not None and asked.truth:
        labels.check(asked.truth, truth, span)
    new = told.incidents(directory, span.end)
    old = told.incidents(asked.output / "old", span.end) if asked.old else None

    if said is not None and asked.verdicts:
        judged.check(asked.verdicts, said, [new, old or []], span)

    def side(name: str, which: tuple[str, Config], incidents: Sequence[told.Told]) -> Side:
        back = told.kept_back(asked.output / name, span.start, span.end)
        return figures.side(which[0], config_hash(which[1]), incidents, span, events.minutes, back)

    found = labels.labels(new, truth, span) if truth is not None else None
    asked_for = moment(asked.start) if asked.start is not None else "", moment(asked.end) if asked.end else ""
    return Report(
        input=asked.input,
        range=about,
        notes=words.notes(about, asked_for, found, len(truth or ()), judged=said is not None),
        new=side("new", asked.new, new),
        old=side("old", asked.old, old) if asked.old and old is not None else None,
        change=figures.change(new, old, span) if old is not None else None,
        labels=found,
        labels_old=labels.labels(old, truth, span) if truth is not None and old is not None else None,
        judged=judged.judged(new, old or (), said, span) if said is not None else None,
        judged_old=judged.judged(old, new, said, span) if said is not None and old is not None else None,
    )


def _range(asked: Asked, events: told.Events) -> tuple[Span, Range]:
    """The part of what was asked for that has events, in whole minutes."""
    if events.first is None:
        raise Refused(f"{asked.input}: has no event that could be scored, so there is nothing to report")
    first = events.first // _MINUTE_MS * _MINUTE_MS
    last = (events.last // _MINUTE_MS + 1) * _MINUTE_MS
    start = first if asked.start is None else max(first, asked.start)
    end = last if asked.end is None else min(last, asked.end)
    inside = sum(count for minute, count in events.minutes.items() if start <= minute * _MINUTE_MS < end)
    if not inside:
        since = f" from {moment(asked.start)}" if asked.start is not None else ""
        until = f" to {moment(asked.end)}" if asked.end is not None else ""
        has = f"{asked.input} has events from {moment(events.first)} to {moment(events.last)}"
        raise Refused(f"no event lies in the range{since}{until}: {has}")
    begins = _begins(asked)
    warm = events.first + max(map(_remembered_ms, asked.new[1].detection), default=0) if begins == "middle" else 0
    span = Span(start, end, warm)
    before = sum(count for minute, count in events.minutes.items() if minute * _MINUTE_MS < start)
    gone = sum(count for minute, count in lost(asked.output / "new").items() if minute * _MINUTE_MS < end)
    return span, Range(
        start=moment(start),
        end=moment(end),
        days=len(span.days),
        partial_days=span.partial_days,
        events=inside,
        events_before=before,
        first_event=moment(events.first),
        last_event=moment(events.last),
        warm_up_s=max(0.0, (start - events.first) / 1000) if asked.start is not None else 0.0,
        begins=begins,
        lost=gone,
    )


def _begins(asked: Asked) -> str:
    if asked.state is not None:
        return "state"
    starts = known_starts(asked.output / "new" / "state") if asked.input == inputs.KAFKA else {}
    return "stream" if asked.start is None and not any(offset for _, offset in starts.values()) else "middle"


def _remembered_ms(rule: object) -> int:
    """How long after its last crossing an incident is still open: what came before the first message is over then."""
    found = threshold(rule)  # type: ignore[arg-type]
    us = found.quiet_us if found else microseconds(getattr(rule, "quiet", "0s"))
    return us // 1000
