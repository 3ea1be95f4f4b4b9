"""Incidents as a queue: what was told of each, what somebody said of it, and who has it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from flows.errors import InputError
from flows.query import AlertLine, Incident, Told, incident_of, linked, message_of
from flows.verdicts import Operation, Verdict, only_uid, uid_begin

_ALERT: Final = msgspec.json.Decoder(AlertLine)
NEW, ACK, RESOLVED = "new", "ack", "resolved"
_SIGN_INS: Final = ("login", "token_issue")
LET_IN: Final = 20
"""So many users that were let in are named."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An incident and what people made of it.

    `status` is the verdict (`true`, `false`, `benign`), else `resolved`, `ack`, or `new`; `open` whether somebody still
    has to say something. `by`, `note` and `said` (epoch ms) are of who said it last. `linked` are the others of its
    attack.
    """

    incident: Incident
    status: str = NEW
    by: str = ""
    note: str = ""
    said: int = 0
    linked: int = 0

    @property
    def open(self) -> bool:
        """Whether it is neither judged nor resolved. An attack that is over is open until somebody has looked."""
        return self.status in (NEW, ACK)


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is to know of one incident. `let_in` are accounts that got in, as far as the evidences of
    it and of those linked to it show.
    """

    case: Case
    messages: list[Told]
    advice: str
    let_in: list[str]
    events: list[dict[str, Any]]
    linked: list[Case]
    said: list[Verdict | Operation]


def cases(alerts: Iterable[bytes], verdicts: Mapping[str, Verdict], operations: Iterable[Operation]) -> dict[str, Case]:
    """The incidents of alert lines, by uid, each as its last message tells it. Memory is some 2 KiB an incident.

    Raises
    ------
    InputError
        A line is no alert.
    """
    return _cases(map(_decoded, alerts), verdicts, operations)


def _cases(
    alerts: Iterable[AlertLine], verdicts: Mapping[str, Verdict], operations: Iterable[Operation]
) -> dict[str, Case]:
    found: dict[str, Incident] = {}
    for alert in alerts:
        uid = alert.finding_info.uid
        found[uid] = incident_of(alert, found.get(uid))
    handled = {one.uid: one for one in operations if one.operation in ("ack", "resolve")}
    others = Counter(one.attack for one in found.values())
    return {uid: _case(one, verdicts.get(uid), handled.get(uid), others[one.attack] - 1) for uid, one in found.items()}


def _case(one: Incident, verdict: Verdict | None, handled: Operation | None, others: int) -> Case:
    if verdict is not None:
        status, last = verdict.verdict, verdict
    elif handled is not None:
        return Case(
            incident=one, status=ACK if handled.operation == "ack" else RESOLVED, by=handled.by, note=handled.note,
            said=handled.time, linked=others,
        )  # fmt: skip
    else:
        return Case(incident=one, linked=others)
    return Case(incident=one, status=status, by=last.by, note=last.note, said=last.time, linked=others)


def screen(
    alerts: Iterable[bytes],
    verdicts: Mapping[str, Verdict],
    operations: Sequence[Operation],
    uid: str,
    where: str,
) -> Screen:
    """One incident in full, by its uid or at least eight digits that begin it.

    Raises
    ------
    Refused
        It names none, or several.
    InputError
        A line is no alert.
    """
    begin = uid_begin(uid)
    kept: list[AlertLine] = []
    got_in: dict[str, dict[str, None]] = {}

    def passing() -> Iterator[AlertLine]:
        for alert in map(_decoded, alerts):
            if alert.finding_info.uid.startswith(begin):
                kept.append(alert)
            if names := _let_in(alert.evidences):
                got_in.setdefault(alert.finding_info.uid, {}).update(dict.fromkeys(names))
            yield alert

    found = _cases(passing(), verdicts, operations)
    whole = only_uid(found, begin, where)
    case = found[whole]
    near = linked([one.incident for one in found.values()], case.incident)
    said = [one for one in operations if one.uid == whole]
    both: list[Verdict | Operation] = [*said, *([verdicts[whole]] if whole in verdicts else [])]
    evidences = [evidence for alert in kept for evidence in alert.evidences]
    return Screen(
        case=case,
        messages=[message_of(alert) for alert in kept],
        advice=next((alert.remediation.desc for alert in reversed(kept) if alert.remediation.desc), ""),
        let_in=[*dict.fromkeys(name for one in (case.incident, *near) for name in got_in.get(one.uid, ()))][:LET_IN],
        events=_last(evidences),
        linked=[found[one.uid] for one in near],
        said=sorted(both, key=lambda one: one.time),
    )


def signed_in(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Accounts that signed in, in scored events of Lapwing's own format; others name actions in their own words.

    >>> signed_in([{"action": "login", "outcome": "success", "username": "sam"}, {"action": "login", "user": "kim"}])
    ['sam']
    """
    found: dict[str, None] = {}
    for one in events:
        if one.get("outcome") == "success" and one.get("action") in _SIGN_INS:
            found[str(one.get("username") or one.get("user") or "?")] = None
    return [*found]


def _decoded(line: bytes) -> AlertLine:
    try:
        return _ALERT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"among the alerts is a line that is none ({error})") from error


def _let_in(evidences: Iterable[Mapping[str, Any]]) -> list[str]:
    """Accounts that signed in, as far as the evidences show."""
    names = []
    for one in evidences:
        if one.get("data", {}).get("outcome") == "success" and one.get("name") in _SIGN_INS:
            user = one.get("user") or one.get("actor", {}).get("user") or {}
            names.append(str(user.get("name") or user.get("uid") or "?"))
    return names


def _last(evidences: Sequence[dict[str, Any]], most: int = 8) -> list[dict[str, Any]]:
    """The last events that were shown, each once, in their order."""
    once = {(one.get("uid"), one.get("data", {}).get("time")): one for one in evidences}
    return sorted(once.values(), key=lambda one: str(one.get("data", {}).get("time")))[-most:]
