"""Why somebody cannot log in: what the trail says, and when it says too little."""

from collections import Counter

import msgspec

from flows.troubleshoot.causes import Case, Cause, causes
from flows.troubleshoot.history import Attempt, Happened, at
from flows.troubleshoot.shares import LEAST

_SHOWN = 20


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What is found. `state` is "failing", "let in", "no attempts" or "never seen".

    `cause` is the likeliest, None where the data do not tell; `also` are others with evidence. `errors` are the
    distinct errors in the order in which they first came, with how often. `attempts` are the last 20, `changes` the
    last 20 before or in the trouble.
    """

    user: str
    tenant: str
    state: str
    sentence: str
    cause: Cause | None = None
    also: list[Cause] = []
    errors: list[tuple[str, int]] = []
    attempts: list[Attempt] = []
    changes: list[Happened] = []


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant's traffic in the hours before a time (all microseconds UTC): how many events, by how many others.

    `last` is the tenant's last event at all, None if there is none. `tenants` are other tenants that know the name.
    """

    end: int
    hours: int
    attempts: int
    people: int
    got_in: int
    last: int | None
    tenants: list[str] = []


def failing(user: str, tenant: str, case: Case, traffic: Traffic) -> Diagnosis:
    """The diagnosis of somebody who is known."""
    history = case.history
    found = list(causes(case))
    if not found and not case.failed:
        return _quiet(user, tenant, case, traffic)
    cause = found[0] if found and (found[0].likely or len(found) == 1) else None
    if cause is None:
        sentence = (
            f"Cannot tell: {history.failures:,} failures since {_since(case)}, and none of them, nor what others met, "
            "says why."
            if not found
            else "Cannot tell which: " + " Or: ".join(one.sentence for one in found)
        )
    else:
        sentence = cause.sentence if cause.likely else f"Perhaps: {cause.sentence}"
    first = min(one.time for one in (*history.since[:1], *filter(None, (history.intruder,))))
    before = [one for one in history.changes if one.time >= first - 7 * 86_400_000_000][-_SHOWN:]
    return Diagnosis(
        user=user, tenant=tenant, state="failing" if history.since else "let in", sentence=sentence, cause=cause,
        also=[one for one in found if one is not cause], errors=_errors(case.failed),
        attempts=list(history.attempts)[-_SHOWN:], changes=before,
    )  # fmt: skip


def never_seen(user: str, tenant: str, traffic: Traffic) -> Diagnosis:
    """The diagnosis of a name that never came, or was erased."""
    cause = _missing(f"no event names {user} (or the person was erased)", tenant, traffic)
    return Diagnosis(
        user=user, tenant=tenant, state="never seen", sentence=cause.sentence, cause=cause if cause.likely else None,
        also=[] if cause.likely else [cause],
    )  # fmt: skip


def _quiet(user: str, tenant: str, case: Case, traffic: Traffic) -> Diagnosis:
    """No failure since the person last got in: either there is no trouble, or attempts do not arrive."""
    history = case.history
    last = history.last_in
    if last is None and not history.attempts:
        what = f"no attempt of {user} to get in is here ({history.events:,} other events are)"
        state = "no attempts"
    else:
        newest = history.attempts[-1]
        what = f"the last attempt, at {at(newest.time)}, did not fail ({newest.outcome}), and none has come since"
        state = "let in"
    cause = _missing(what, tenant, traffic)
    return Diagnosis(
        user=user, tenant=tenant, state=state, sentence=cause.sentence, cause=cause if cause.likely else None,
        also=[] if cause.likely else [cause], attempts=list(history.attempts)[-_SHOWN:],
        changes=list(history.changes)[-_SHOWN:],
    )  # fmt: skip


def _missing(what: str, tenant: str, traffic: Traffic) -> Cause:
    """Attempts that are not there: another tenant, an outage, or a way that does not lead here."""
    span = f"in the {traffic.hours} hours before {at(traffic.end)}"
    evidence = [f"{traffic.attempts:,} attempts of {traffic.people:,} others {span}, {traffic.got_in:,} got in"]
    evidence += [f"the last event of tenant {tenant}: {at(traffic.last)}"] if traffic.last is not None else []
    if traffic.tenants:
        return Cause(
            name="wrong_tenant", evidence=evidence,
            sentence=f"Of tenant {tenant} {what}, but tenant {', '.join(traffic.tenants[:5])} knows the name: "
            "the attempts go to another tenant.",
        )  # fmt: skip
    if not traffic.attempts:
        last = f"its last event is of {at(traffic.last)}" if traffic.last is not None else "it has no event at all"
        return Cause(
            name="outage", evidence=evidence,
            sentence=f"Of tenant {tenant} {what}; nobody else tried either {span} ({last}): an outage before the "
            "platform, or its events do not reach the trail.",
        )  # fmt: skip
    if traffic.people < LEAST:
        return Cause(
            name="no_attempts", evidence=evidence, likely=False,
            sentence=f"Cannot tell: {what}, and only {traffic.people:,} others tried {span}.",
        )  # fmt: skip
    return Cause(
        name="no_attempts", evidence=evidence,
        sentence=f"Of tenant {tenant} {what}, while {traffic.people:,} others tried {span} and {traffic.got_in:,} got "
        "in: if the person fails now, the attempts do not arrive (another name or tenant, an app's old address, "
        "a network in between).",
    )  # fmt: skip


def _since(case: Case) -> str:
    last = case.history.last_in
    return f"the person last got in at {at(last.time)}" if last else f"the first at {at(case.begun)}"


def _errors(attempts: list[Attempt]) -> list[tuple[str, int]]:
    """The distinct errors in the order in which they first came."""
    counts = Counter(
        " ".join(filter(None, (one.reason, one.error_code and f"code {one.error_code}", one.error))) or one.outcome
        for one in attempts
    )
    return list(counts.items())[:_SHOWN]
