"""The likely causes why somebody cannot log in, each a function that looks for its own evidence."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from flows.troubleshoot.history import GUESSES, Attempt, Happened, History, at
from flows.troubleshoot.others import Others, met_errors, shut_out, turned_away
from flows.troubleshoot.shares import LEAST, Group, differs

_BURST: Final = 10
_BURST_US: Final = 600_000_000
"""So many failures in ten minutes are a brute-force attack, as the detection `brute_force_user` has it."""
_LATELY: Final = 10
"""After a lock some platforms tell it only now and then."""
_BEFORE: Final = 86_400_000_000
_TAKING: Final = ("email_change", "password_change", "password_reset")
_FACTOR_WORDS: Final = ("mfa", "factor", "totp", "otp", "phone", "passkey", "webauthn", "authenticator")


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A cause: `name` is of a closed list, `sentence` says it with its numbers, `evidence` has a line for each fact.

    `likely`: the events say so themselves, or figures that are beyond chance; else it is only possible.
    """

    name: str
    sentence: str
    evidence: list[str] = []
    likely: bool = True


class Case(NamedTuple):
    """What causes look at: the person's history, what others met, and the titles of the person's incidents."""

    history: History
    others: Others
    incidents: list[tuple[int, str]]

    @property
    def failed(self) -> list[Attempt]:
        """The failures since the person last got in."""
        return self.history.failed

    @property
    def begun(self) -> int:
        """When the trouble began."""
        return self.failed[0].time

    def of_reason(self, *reasons: str) -> list[Attempt]:
        """The failures with a reason, if they are most, or the last one is of them."""
        found = [one for one in self.failed if one.reason in reasons]
        most = 2 * len(found) > len(self.failed)
        return found if found and (most or self.failed[-1].reason in reasons) else []

    def before(self, *what: str) -> list[Happened]:
        """What happened in the day before the trouble began, or since."""
        return [one for one in self.history.changes if one.time >= self.begun - _BEFORE and one.what in what]


def taken_over(case: Case) -> Cause | None:
    """Somebody guessed the way in, and has changed the account since."""
    entry = case.history.intruder
    if entry is None:
        return None
    changed = [
        one
        for one in case.history.changes
        if one.time >= entry.time and one.by is None and (one.what in _TAKING or _of_factor(one))
    ]
    if not changed:
        return None
    guesses = case.history.guesses
    evidence = [_told(entry), *(_lock(one) + _fields(one) for one in changed[-5:])]
    evidence += [f"{at(time)}: incident {title}" for time, title in case.incidents[-5:]]
    return Cause(
        name="taken_over", evidence=evidence, likely=guesses >= _BURST or bool(case.incidents),
        sentence=f"The account looks taken over: after {guesses:,} failures from where the person never got in, "
        f"somebody got in from {entry.ip or 'no address'} at {at(entry.time)}, and then came "
        f"{', '.join(dict.fromkeys(one.what for one in changed))}: what the person knows does not work any more.",
    )  # fmt: skip


def locked(case: Case) -> Cause | None:
    """The account is locked: by an attack, by somebody, or by the person's own failures."""
    locks = [one for one in case.history.changes if one.what in ("account_lock", "account_unlock")]
    lock = locks[-1] if locks and locks[-1].what == "account_lock" else None
    said = any(one.reason == "locked" for one in case.failed[-_LATELY:])
    if not said and (lock is None or lock.time < (case.history.last_in.time if case.history.last_in else 0)):
        return None
    when = next((one.time for one in case.failed if one.reason == "locked"), None)
    when = lock.time if lock is not None else when if when is not None else case.begun
    wrong = [one for one in case.failed if one.reason != "locked" and when - _BEFORE <= one.time <= when]
    strange, why = _somebody_elses(case, wrong)
    evidence = [f"{len(wrong):,} failures in the day before {at(when)}, from {_ips(wrong)}"] if wrong else []
    evidence += [_lock(lock)] if lock else []
    evidence += [f"{at(time)}: incident {title}" for time, title in case.incidents[-3:]]
    if strange:
        return Cause(
            name="locked_by_attack", evidence=evidence,
            sentence=f"The account is locked since {at(when)} because somebody else tried to get in: {len(strange):,} "
            f"of {len(wrong):,} failures before came from {_count(strange)}, {why}.",
        )  # fmt: skip
    if lock is not None and lock.by is not None:
        return Cause(name="locked_by_somebody", sentence=f"The account was locked by {lock.by} at {at(when)}.",
                     evidence=evidence)  # fmt: skip
    if len(wrong) >= LEAST:
        return Cause(
            name="locked", evidence=evidence,
            sentence=f"The account is locked since {at(when)}, after {len(wrong):,} failed attempts.",
        )  # fmt: skip
    return Cause(
        name="locked", evidence=evidence,
        sentence=f"The account is locked since {at(when)}; the events do not tell why.",
    )  # fmt: skip


def deleted(case: Case) -> Cause | None:
    """The account was deleted."""
    found = [one for one in case.history.changes if one.what in ("account_delete", "register")]
    if not found or found[-1].what == "register":
        return None
    return Cause(name="deleted", sentence=f"The account was deleted at {at(found[-1].time)}.",
                 evidence=[_lock(found[-1])])  # fmt: skip


def expired(case: Case) -> Cause | None:
    """A password or account has expired."""
    found = case.of_reason("expired")
    if not found:
        return None
    return Cause(
        name="expired", evidence=[_told(one) for one in found[-3:]],
        sentence=f"What the person signs in with has expired: {len(found):,} of {len(case.failed):,} failures since "
        f"{at(found[0].time)} say so.",
    )  # fmt: skip


def release(case: Case) -> Cause | None:
    """A version of an app in which others cannot get in either, while with other versions they can."""
    last = case.failed[-1]
    found = case.others.compared("version", last.version, shut_out)
    if found is None or last.version is None or not differs(found.share, found.rest):
        return None
    theirs, own = case.others.usual_error(last.version), last.reason or last.error_code or "?"
    if theirs != own:
        return None
    return Cause(
        name="broken_release", evidence=[_compared(found, "who tried with", "never got in"), _told(last)],
        sentence=f"Version {last.version} does not let people in: of the others who tried with it {found.share} never "
        f"got in, with other versions {found.rest}; the error is the same ({own}).",
    )  # fmt: skip


def network(case: Case) -> Cause | None:
    """A network that is blocked, or a block of this person alone."""
    turned = [one for one in case.failed if turned_away(one.flags)]
    if 2 * len(turned) <= len(case.failed):
        return None
    last = turned[-1]
    evidence = [_told(one) for one in turned[-2:]]
    for dimension, value in (("network", f"AS{last.asn}" if last.asn else None), ("country", last.country)):
        found = case.others.compared(dimension, value, turned_away)
        if found is not None and differs(found.share, found.rest):
            return Cause(
                name="blocked_network", evidence=[_compared(found, "from", "were turned away"), *evidence],
                sentence=f"What comes from {dimension} {found.value} is turned away: of the others there {found.share} "
                f"were and never got in, from elsewhere {found.rest}.",
            )  # fmt: skip
        evidence += [_compared(found, "from", "were turned away")] if found else []
    return Cause(
        name="blocked", evidence=evidence, likely=False,
        sentence=f"{len(turned):,} of {len(case.failed):,} attempts were turned away (from {last.ip or 'no address'}); "
        "whether it is the network or this person cannot be told from what others met.",
    )  # fmt: skip


def outage(case: Case) -> Cause | None:
    """Errors of the server, for others too: with other versions of the app, where there are such."""
    broke = [one for one in case.failed if met_errors(one.flags)]
    if 2 * len(broke) <= len(case.failed):
        return None
    same = case.others.compared("version", broke[-1].version, met_errors)
    everybody = same.rest if same is not None and same.rest.of >= LEAST else case.others.all_of(met_errors)
    evidence = [_told(one) for one in broke[-3:]] + [
        f"others who met errors of the server and never got in: {everybody}"
    ]
    if everybody.of >= LEAST and everybody.low > 0.1:
        return Cause(
            name="outage", evidence=evidence,
            sentence=f"The service fails, not only for this person: of the others {everybody} met errors of the server "
            "and never got in.",
        )  # fmt: skip
    alone = everybody.of >= LEAST and everybody.high < 0.5
    return Cause(
        name="server_error", evidence=evidence, likely=alone,
        sentence=f"The service fails at this person's attempts ({len(broke):,} of {len(case.failed):,}"
        + (f"); of the others only {everybody} fare so." if alone else "); too few others tried to say more."),
    )  # fmt: skip


def factor(case: Case) -> Cause | None:
    """The second factor is missing or fails."""
    denied = case.of_reason("mfa_failed", "mfa_denied")
    challenged = [one for one in case.history.since if one.outcome == "challenge"]
    if not denied and (case.failed or len(challenged) < 2):
        return None
    begun = (denied or challenged)[0].time
    last = case.history.last_factor
    changed = [one for one in case.history.changes if one.time >= begun - 30 * _BEFORE and _of_factor(one)]
    evidence = [_told(one) for one in (denied or challenged)[-3:]]
    evidence += (
        [f"{at(last.time)}: the last time that a factor was passed ({last.factor or 'not told which'})"] if last else []
    )
    evidence += [f"{at(one.time)}: changed {', '.join(one.fields)}{_by(one)}" for one in changed[-3:]]
    what = f"{len(denied):,} attempts failed there" if denied else f"{len(challenged):,} challenges were not answered"
    after = f", after {', '.join(changed[-1].fields)} was changed at {at(changed[-1].time)}" if changed else ""
    return Cause(
        name="factor_lost", evidence=evidence, likely=len(denied or challenged) >= 2,
        sentence=f"The password is right but the second factor is not passed since {at(begun)}: {what}{after}.",
    )  # fmt: skip


def unknown_user(case: Case) -> Cause | None:
    """The name is not one that the platform knows."""
    found = case.of_reason("unknown_user", "not_found")
    if not found:
        return None
    was = case.history.last_in
    once = (
        f"; it last let somebody in at {at(was.time)}, so it was renamed, removed or lies in another store"
        if was
        else ""
    )
    return Cause(
        name="unknown_user", evidence=[_told(one) for one in found[-3:]],
        sentence=f"The platform knows no account of this name: {len(found):,} of {len(case.failed):,} failures say so"
        f"{once or '; the name is mistyped, of another tenant, or was never registered'}.",
    )  # fmt: skip


def attacked(case: Case) -> Cause | None:
    """All failures are somebody else's."""
    strange, why = _somebody_elses(case, case.failed)
    if len(strange) < len(case.failed) or not strange:
        return None
    return Cause(
        name="attacked", evidence=[f"addresses: {_ips(strange)}", *(_told(one) for one in strange[-2:])],
        sentence=f"All {len(strange):,} failures since {at(case.begun)} came from {_count(strange)}, {why}: this looks "
        "like somebody else, and no attempt of the person's own is here.",
    )  # fmt: skip


def password(case: Case) -> Cause | None:
    """A wrong password."""
    found = case.of_reason("bad_credentials")
    if not found:
        return None
    changed = case.before("password_change", "password_reset")
    known = sum(one.known for one in found)
    evidence = [f"{known:,} of {len(found):,} came from an address or device from where the person had got in"]
    evidence += [_told(one) for one in found[-3:]] + [f"{at(one.time)}: {one.what}{_by(one)}" for one in changed[-2:]]
    after = [one for one in changed if one.time <= found[0].time]
    why = (
        f", since the password was changed at {at(after[-1].time)}: an old one may be saved somewhere" if after else ""
    )
    return Cause(
        name="wrong_password", evidence=evidence,
        sentence=f"The password is wrong: {len(found):,} of {len(case.failed):,} failures since {at(found[0].time)} "
        f"say so{why}.",
    )  # fmt: skip


CAUSES: Final[tuple[Callable[[Case], Cause | None], ...]] = (
    taken_over, locked, deleted, expired, release, network, outage, factor, unknown_user, attacked, password,
)  # fmt: skip
"""The more certain first: what the platform says itself, then what others met, then what is left."""


def causes(case: Case) -> Iterator[Cause]:
    """All causes for which there is evidence, the likeliest first."""
    looked = CAUSES if case.failed else (taken_over, factor)
    made = [found for cause in looked if (found := cause(case)) is not None]
    yield from sorted(made, key=lambda one: not one.likely)


def _somebody_elses(case: Case, wrong: list[Attempt]) -> tuple[list[Attempt], str]:
    """Failures that look like somebody else's, and why: most come from where the person never got in; of a person who
    never got in anywhere, more than anybody types.
    """
    if case.history.last_in is not None:
        strange = [one for one in wrong if not one.known]
        is_attack = len(strange) >= GUESSES and 2 * len(strange) > len(wrong)
        return (strange if is_attack else []), "from where the person never got in"
    pairs = zip(wrong, wrong[_BURST - 1 :], strict=False)
    is_burst = any(last.time - first.time <= _BURST_US for first, last in pairs)
    return (wrong if is_burst else []), f"{_BURST} and more of them within ten minutes"


def _told(one: Attempt) -> str:
    """An attempt in a line."""
    why = [one.reason, one.error_code and f"code {one.error_code}", one.error and f'"{one.error}"']
    place = [
        one.ip and f"from {one.ip}",
        one.version and f"with {one.version}",
        one.request_id and f"request {one.request_id}",
    ]
    words = [one.action, one.outcome, *filter(None, why), *filter(None, place)]
    return f"{at(one.time)}: {' '.join(words)}"


def _lock(one: Happened) -> str:
    return f"{at(one.time)}: {one.what}{_by(one)}"


def _of_factor(one: Happened) -> bool:
    return any(word in field.lower() for field in one.fields for word in _FACTOR_WORDS)


def _fields(one: Happened) -> str:
    return f" ({', '.join(one.fields)})" if one.fields else ""


def _by(one: Happened) -> str:
    return f" by {one.by}" if one.by else ""


def _ips(attempts: list[Attempt]) -> str:
    """The busiest addresses."""
    counts = Counter(one.ip for one in attempts if one.ip)
    most = sorted(counts, key=lambda ip: (-counts[ip], ip))[:3]
    return ", ".join(f"{ip} ({counts[ip]:,})" for ip in most) + (
        f" and {len(counts) - 3:,} more" if len(counts) > 3 else ""
    )


def _count(attempts: list[Attempt]) -> str:
    count = len({one.ip for one in attempts})
    return "an address" if count == 1 else f"{count:,} addresses"


def _compared(found: Group, how: str, what: str) -> str:
    return f"others {how} {found.value}: {found.share} {what}; all other: {found.rest}"
