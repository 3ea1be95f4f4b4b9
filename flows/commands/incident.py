"""`lapwing incident`: one incident on one screen, and what somebody makes of it."""

import time
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any, Literal, cast, get_args

import msgspec
import typer

from flows import verdicts
from flows.commands.console import columns, plain, result, say
from flows.commands.options import ConfigFile, Json
from flows.commands.results import Results, noted, results, who
from flows.commands.shift import STATE_HELP, ago, case_told, mutes_told, named, utc, when
from flows.formats.explain import number
from flows.incidents import LET_IN, Case, Screen, screen
from flows.verdicts import Operation, Subject, Verdict, Word
from models.base import SEVERITIES

Act = Literal["ack", "resolve", "true", "false", "benign"]
_WIDTH = 120
_MOST = 12


def incident(
    uid: Annotated[str, typer.Argument(metavar="UID", help="The incident's uid, or at least 8 digits that begin it.")],
    act: Annotated[
        Act | None,
        typer.Argument(metavar="[ack|resolve|true|false|benign]", help="What you do, or say it was; else it is shown."),
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; at most 2,000 characters.")] = "",
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; else who runs this.")] = None,
    source: Annotated[
        str | None, typer.Option("--input", metavar="DIR|kafka", help="The results; else the configuration's output.")
    ] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="DIR", help=STATE_HELP)] = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show one incident on one screen, or say what becomes of it.

    `ack` says that you have it, `resolve` that it is done with; true (an attack), false (a mistake) and benign (right,
    and permitted) are verdicts, as `lapwing verdict` gives them, and stand whatever is done afterwards. All are kept
    with the verdicts.
    An incident that is not in the results is exit code 3.

    \b
    Examples:
      lapwing incident 8e970197 --input out
      lapwing incident 8e970197 ack --input out
      lapwing incident 8e970197 false --note "office proxy" --input kafka --config config.toml
    """
    where, chosen = results(source, config)
    if act is None:
        said, operations = where.said()
        found = screen(where.alerts(suppressed=True), said, operations, uid, where.name)
        names = dict.fromkeys([*found.let_in, *where.let_in(found.case.incident)])
        found = msgspec.structs.replace(found, let_in=[*names][:LET_IN])
        now = time.time()
        like = found.case.incident
        muted = mutes_told(Path(kept), now, like) if (kept := state or chosen.state.path) else []
        if json:
            result(_plain(found) | {"mutes": muted})
        else:
            print(_text(found, now, [one["text"] for one in muted]))
        return
    _act(where, uid, act, noted(note), who(by))


def _act(where: Results, uid: str, act: Act, note: str, by: str) -> None:
    judged = act in get_args(Word)
    one = verdicts.the_one(where.alerts(suppressed=True), uid, where.name, digests=not judged)
    said: Verdict | Operation
    if judged:
        said = verdicts.verdict_on(one, cast(Word, act), note, by)
        becomes = f"is {act}"
    else:
        about = {name: getattr(one, name) for name in Subject.__struct_fields__}
        operation = cast(Literal["ack", "resolve"], act)
        said = Operation(**about, time=int(time.time() * 1000), operation=operation, note=note, by=by)
        becomes = f"{'is with' if act == 'ack' else 'is resolved by'} {by}"
    place = where.add(said)
    say(
        f"{plain(place)}: {one.uid}, {plain(one.detection)} of "
        f"{plain(f'{one.dimension} {one.entity}')}, {plain(becomes)}"
    )


def _plain(found: Screen) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told | {"case": case_told(found.case), "linked": [case_told(one) for one in found.linked]}


def _text(found: Screen, now: float, muted: list[str]) -> str:
    case, one = found.case, found.case.incident
    users = []
    if one.failed_users is not None:
        users.append(f"{one.failed_users:,} failed there, {one.succeeded_users or 0:,} succeeded")
    users.append(f"let in: {', '.join(found.let_in) if found.let_in else 'nobody as far as is known'}")
    expected = "nothing learned" if one.expected is None else number(one.expected)
    observed = "-" if one.value is None else number(one.value)
    limit = "-" if one.limit is None else number(one.limit)
    crossed = f"{utc(one.crossed)} ({ago(one.crossed, now)} ago)"
    rows = [
        ("incident", f"{one.uid}, {SEVERITIES[one.severity]}, {one.detection}: {one.title}"),
        ("entity", f"{named(one, 200)}, tenant {one.tenant}"),
        ("status", _status(case, now)),
        (
            "attack",
            f"{'is over' if one.closed else 'goes on'}; crossed {crossed}, counted {utc(one.start)} to {utc(one.end)}",
        ),
        ("observed", f"{observed}, limit {limit}, expected {expected}; {one.count:,} events"),
        ("users", "; ".join(users)),
        ("what", one.message),
        ("to do", found.advice),
    ]
    rows += [("kept back", one.kept_back)] if one.kept_back else []
    rows += [("muted", text) for text in muted]
    lines = [line for head, text in rows for line in _block(head, text)]
    if found.linked:
        lines += ["", "  linked incidents"]
        lines += [columns([_linked(other, now) for other in found.linked[:_MOST]], "    ")]
        lines += [f"    ... and {len(found.linked) - _MOST} more"] if len(found.linked) > _MOST else []
    if found.events:
        lines += ["", "  last events that were counted"]
        lines += [columns([_event(event) for event in found.events], "    ")]
    lines += ["", "  messages", columns([_message(message) for message in found.messages[-_MOST:]], "    ")]
    if found.said:
        lines += ["", "  said", columns([_said(said, now) for said in found.said], "    ")]
    return "\n".join(lines)


def _block(head: str, text: str) -> list[str]:
    """A text beside its head, wrapped; whatever stands in it moves no cursor."""
    first, *rest = wrap(plain(text), _WIDTH - 11) or ["-"]
    return [f"{head:9}  {first}", *(f"{'':11}{line}" for line in rest)]


def _status(case: Case, now: float) -> str:
    if not case.by:
        return "new: nobody has it"
    note = f": {case.note}" if case.note else ""
    return f"{case.status} by {case.by}, {ago(case.said, now)} ago{note}"


def _linked(case: Case, now: float) -> tuple[str, ...]:
    one = case.incident
    stage = "over" if one.closed else "goes on"
    return one.uid[:8], SEVERITIES[one.severity], ago(one.crossed, now), stage, one.detection, named(one), case.status


def _event(event: dict[str, Any]) -> tuple[str, ...]:
    told = event.get("data", {})
    user = event.get("user") or event.get("actor", {}).get("user") or {}
    place = event.get("src_endpoint", {})
    where = " ".join(str(word) for word in (place.get("ip"), place.get("location", {}).get("country")) if word)
    return (
        when(str(told.get("time", "")))[:23], str(event.get("name", "")), str(told.get("outcome", "")),
        str(told.get("reason", "")), str(user.get("name") or user.get("uid") or ""), where or str(told.get("ip", "")),
        str(event.get("api", {}).get("operation", ""))[:40], str(event.get("http_response", {}).get("code", "")),
    )  # fmt: skip


def _message(one: Any) -> tuple[str, ...]:
    value = "" if one.value is None else number(one.value)
    return str(one.seq), utc(one.created), one.activity, SEVERITIES[one.severity], f"{one.count:,} events", value


def _said(one: Verdict | Operation, now: float) -> tuple[str, ...]:
    word = one.verdict if isinstance(one, Verdict) else one.operation
    return utc(one.time), f"{ago(one.time, now)} ago", word, one.by, one.note
