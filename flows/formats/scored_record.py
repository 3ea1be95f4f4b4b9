"""A scored event read again: what its source said, and what Lapwing added."""

from typing import Any, Final

import msgspec

from flows.formats.canonical import LONGEST_EVIDENCE, canonical
from flows.formats.evidence import clean
from flows.formats.mapped import Choice
from flows.formats.siem_event import LONGEST_MESSAGE, NoRecord, Scalar, SiemEvent, address, each, severity_of
from flows.formats.source_formats import FORMATS
from models.base import DIMENSIONS

OUTCOMES: Final = ("success", "failure", "challenge", "blocked", "unknown")
_SCORES: Final = ("feature", "score", "quantile", "z", "expected", "observed")
_PLATFORMS: Final = Choice(FORMATS)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class _Own(msgspec.Struct, frozen=True):
    """A scored event's member `lapwing`, as far as it has a meaning beyond itself."""

    v: int
    time: int
    risk: int | None
    late: bool
    alerts: list[str]
    scores: dict[str, dict[str, str | int | float | None]]
    id: str = ""


class Scored(msgspec.Struct, frozen=True):
    """A scored event: the canonical members of the source's object, and Lapwing's own member."""

    members: dict[str, Any]
    own: _Own
    lapwing: dict[str, Any]

    @property
    def uid(self) -> str:
        """The source's own id, or the one that it was given."""
        return self.own.id or str(self.members.get("id", ""))

    @property
    def tenant(self) -> str:
        """The source's tenant, or the one of events without."""
        return self.members.get("tenant") or "default"

    @property
    def outcome(self) -> str:
        """What the source says, or what follows from the status."""
        known, status = self.members.get("outcome"), self.members.get("status")
        if known in OUTCOMES:
            return str(known)
        if not isinstance(status, int):
            return "unknown"
        return "success" if status < 400 else "blocked" if status == 429 else "failure"


def _as_event(source: dict[str, Any]) -> dict[str, Any]:
    """The canonical members of a source's object, whichever platform's it is."""
    format_ = _PLATFORMS.of(source)
    return source if format_ is None else format_.event(source)


def canonical_members(source: dict[str, Any]) -> dict[str, Any]:
    """The canonical members of a source's object; of what is no event for Lapwing, its id and tenant if it has them."""
    event = _as_event(source)
    found = canonical(msgspec.json.encode(event))
    if not found:
        return {name: source[name] for name in ("id", "tenant") if isinstance(source.get(name), str)}
    # An evidence's strings are cut without a mark; whoever shows them here cuts them with one.
    whole = ((name, event.get(name)) for name in found)
    found |= {name: text for name, text in whole if isinstance(text, str) and len(text) > LONGEST_EVIDENCE}
    # The form an address is compared in, without port and brackets.
    return found | ({"ip": ip} if (ip := address(str(found.get("ip", "")))) else {})


def read_scored(record: bytes) -> Scored:
    """A scored event's two halves.

    Raises
    ------
    NoRecord
        The bytes are no scored event.
    """
    try:
        source = _OBJECT.decode(record)
        lapwing = source.pop("lapwing", None)
        if not isinstance(lapwing, dict):
            raise NoRecord("no scored event: it has no member lapwing")
        return Scored(canonical_members(source), msgspec.convert(lapwing, _Own), lapwing)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise NoRecord(f"no scored event ({error})") from None


def siem_event(scored: Scored) -> SiemEvent:
    """The scored event in the words of the encoders."""
    own, members = scored.own, scored.members
    text = {name: clean(value) for name, value in members.items() if isinstance(value, str)}
    action = text.get("action", "")
    user, username = text.get("user", ""), text.get("username", "")
    actor = text.get("actor") or user
    ip = address(text.get("ip", ""))
    risk = None if own.risk is None else min(100, max(0, own.risk))
    about = username or user or actor or ip or text.get("endpoint", "")
    parts = (action or "event", scored.outcome.replace("unknown", ""), about and f"for {about}")
    said = " ".join(part for part in parts if part)
    flat: dict[str, Scalar] = {"late": own.late}
    for dimension in DIMENSIONS[1:]:
        scores = own.scores.get(dimension, {})
        known = ((name, scores.get(name)) for name in _SCORES)
        flat |= {f"scores.{dimension}.{name}": _plain(value) for name, value in known if value is not None}
    return SiemEvent(
        kind="scored",
        time=own.time,
        uid=clean(scored.uid),
        version=str(own.v),
        tenant=clean(scored.tenant),
        signature=f"event.{action}" if action else "event",
        name=(action or "event").replace("_", " "),
        message=clean(f"{said}, risk {'not known' if risk is None else risk}", LONGEST_MESSAGE),
        severity=severity_of(risk),
        risk=risk,
        action=action,
        outcome=scored.outcome,
        reason=text.get("reason", ""),
        user=user,
        username=username,
        actor=actor,
        target=text.get("target", ""),
        ip=ip,
        country=text.get("country", ""),
        city=text.get("city", ""),
        lat=_real(members.get("lat")),
        lon=_real(members.get("lon")),
        asn=_whole(members.get("asn")),
        user_agent=text.get("user_agent", ""),
        method=text.get("method", ""),
        endpoint=text.get("endpoint", ""),
        status=_whole(members.get("status")),
        session=text.get("session", ""),
        request_id=text.get("request_id", ""),
        device=text.get("device", ""),
        app=text.get("app", ""),
        ips=each((ip,)),
        users=each((username, user, actor, text.get("target", ""))),
        alerts=tuple(clean(uid) for uid in own.alerts[:4]),
        details=flat,
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else None


def _real(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _plain(value: str | int | float) -> Scalar:
    return clean(value) if isinstance(value, str) else value
