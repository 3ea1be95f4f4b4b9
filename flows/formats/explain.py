"""An alert in one sentence: what, who, how much against what, since when, and what would not have been one."""

import math
import re
from datetime import UTC, datetime
from typing import Final

from flows.formats.evidence import shown
from models.alert import CLOSE, CREATE, UPDATE, Alert, Reason, Related
from models.features import behaviour, minute
from models.rules import Rule
from models.rules.base import About

LONGEST_NAME: Final = 128
NAMED: Final = 3
"""So many accounts, addresses or incidents are named; the rest is counted."""

_STAGES = {CREATE: "", UPDATE: " continues", CLOSE: " is over"}
_TIMED = (" a minute", " without events")
_OTHERS = {"ip": "account", "user": "address", "source": "reason"}
_SHOWN = {"account": "username", "address": "ip", "reason": "reason"}
_UNSAFE = re.compile(r"""[\s,;()"'<>`]""")


def message(alert: Alert, about: About, rule: Rule) -> str:
    """One sentence that is enough to act on, on one line, whatever stands in names of at most 2,000 characters.

    What comes from outside is escaped, cut, and quoted where it could be taken for the sentence itself. A count of one
    is written in the singular.
    """
    if alert.digest:
        return _digest(alert, about)
    # A score is no count of anything.
    learned = alert.feature == "behaviour"
    amount = f"{about.measure} {number(alert.value)}" if learned else _amount(alert.value, about.measure)
    window = "" if about.measure.endswith(_TIMED) else f" in {span(alert.window_s)}"
    expected = "" if alert.expected is None else f"expected {number(alert.expected)}, "
    parts = [
        f"{about.title}{_STAGES[alert.activity]}: {amount} {_who(alert, about)}{window} "
        f"({expected}limit {number(alert.limit)}), {_when(alert)}"
    ]
    if alert.reasons:
        parts.append(f"because of {', '.join(map(_reason, alert.reasons))}")
    if seen := _seen(alert):
        parts.append(seen)
    if alert.failed_users is not None and alert.succeeded_users is not None:
        failed, succeeded = (_amount(n, "accounts") for n in (alert.failed_users, alert.succeeded_users))
        parts.append(f"{failed} failed there, {succeeded} succeeded")
    parts.append(_not_at(alert, about, rule))
    if alert.incident and alert.front:
        parts.append(f"one attack with {_amount(alert.related_count, 'related incidents')}")
    elif alert.incident:
        parts.append("part of " + ("".join(_named(one) for one in alert.related[:1]) or alert.incident))
    if alert.suppressed_by:
        parts.append(f"suppressed by {shown(alert.suppressed_by, LONGEST_NAME)}")
    return "; ".join(parts)


def title(alert: Alert, about: About) -> str:
    """What a list of findings shows; it names no entity."""
    return f"Storm: {about.title}" if alert.digest else about.title


def name(text: str, longest: int = LONGEST_NAME) -> str:
    """A name from outside: escaped, cut, and quoted where it could be taken for more than a name.

    >>> print(name("sam@example.com"), name("sam; all is well"), name("a\\r\\nb"))
    sam@example.com "sam; all is well" a\\u000d\\u000ab
    """
    text = shown(text)
    cut = text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return '"' + cut.replace('"', "'") + '"' if _UNSAFE.search(cut) else cut


def number(value: float) -> str:
    """A number for a person: whole, or to four significant digits.

    >>> number(412.0), number(3.14159), number(0.25)
    ('412', '3.142', '0.25')
    """
    return f"{value:.0f}" if math.isfinite(value) and value == round(value) else f"{value:.4g}"


def singular(measure: str) -> str:
    """A rule's measure for a count of one.

    >>> singular("accounts with failed logins"), singular("failed logins"), singular("addresses")
    ('account with failed logins', 'failed login', 'address')
    """
    return re.sub(r"s(?=es\b)es\b|(?<!s)s\b", lambda end: "s" if end[0] == "ses" else "", measure, count=1)


def span(seconds: int) -> str:
    """A length of time in its largest whole unit.

    >>> span(600), span(3600), span(90)
    ('10 minutes', '1 hour', '90 seconds')
    """
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            return _amount(seconds // size, f"{unit}s")
    raise AssertionError(seconds)


def filled(text: str, rule: Rule) -> str:
    """A text with the rule's configured numbers in place of their names in backticks."""
    return re.sub(r"`(\w+)`", lambda found: _plain(getattr(rule, found[1])), text)


def described(rule: Rule) -> str:
    """The first sentence of a rule's documentation, with its configured numbers."""
    return filled((type(rule).__doc__ or "").partition("\n")[0], rule)


def utc(time: int) -> str:
    """A time in microseconds, to the second."""
    return datetime.fromtimestamp(time // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)


def _amount(value: float, measure: str) -> str:
    return f"{number(value)} {singular(measure) if value == 1 else measure}"


def _who(alert: Alert, about: About) -> str:
    words = {"ip": "from", "endpoint": "on", "source": "from source", "user": "by" if about.on_actor else "for"}
    return " ".join(f"{words.get(dimension, 'in tenant')} {name(entity)}" for dimension, entity in alert.entities)


def _when(alert: Alert) -> str:
    since = f"since {utc(alert.start)}"
    if alert.activity == CREATE:
        return since
    counted = f", {_amount(alert.count, 'messages' if alert.dimension == 'source' else 'events')} in all"
    return (
        since
        + (counted if alert.count else "")
        + (f", the last by {utc(alert.end)}" if alert.activity == CLOSE and alert.count else "")
    )


def _seen(alert: Alert) -> str:
    """A few of those on the other side, as the evidences show them."""
    other = _OTHERS.get(alert.dimension)
    if other is None:
        return ""
    found: dict[str, None] = {}
    for event in alert.evidences:
        value = event.get(_SHOWN[other]) or event.get("user" if other == "account" else "")
        if isinstance(value, str) and value:
            found[value] = None
    if not found:
        return ""
    names = [name(value, 64) for value in list(found)[:NAMED]]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    plural = {"account": "accounts", "address": "addresses", "reason": "reasons"}[other]
    return f"e.g. {other if len(found) == 1 else plural} {', '.join(names)}{more}"


def _not_at(alert: Alert, about: About, rule: Rule) -> str:
    """What would not have fired: the counterfactual an analyst tunes by."""
    if about.not_at:
        return filled(about.not_at, rule)
    if alert.limit != math.floor(alert.limit):
        return f"not below {number(alert.limit)}"
    silent = math.ceil(alert.limit) - 1.0
    times = getattr(rule, "times", None)
    if times is not None and alert.expected is not None and math.isfinite(alert.expected):
        silent = max(silent, float(math.floor(times * alert.expected)))
    unless = f", {filled(about.unless, rule)}" if about.unless else ""
    return f"not at {number(silent)} or fewer{unless}"


def _digest(alert: Alert, about: About) -> str:
    more = _amount(alert.digest, "more incidents")
    largest = ", ".join(f"{name(one.entity, 64)} ({one.count})" for one in alert.related[:NAMED])
    rest = alert.related_count - min(NAMED, len(alert.related))
    return (
        f"Storm of {about.title[:1].lower()}{about.title[1:]}{_STAGES[alert.activity]}: {more} in tenant "
        f"{name(alert.entity)} in the hour from {utc(alert.start)}, beyond the {number(alert.limit)} told one by one, "
        f"{_amount(alert.count, 'events')} so far; largest: {largest}" + (f" and {rest} more" if rest > 0 else "")
    )


def meaning(one: Reason) -> str:
    """What the feature of a reason says."""
    found = minute.MEANING.get(one.feature)
    return behaviour.MEANING[one.feature] if found is None else found


def _reason(one: Reason) -> str:
    """A feature, what it was and typically is, and the score without it."""
    return (
        f"{one.feature} ({meaning(one)}: {number(one.observed)}, typically {number(one.typical)}; "
        f"the score falls by {number(one.drop)} without it)"
    )


def _named(one: Related) -> str:
    return f"{name(one.detection)} of {name(one.entity, 64)}"
