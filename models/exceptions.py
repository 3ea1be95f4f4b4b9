"""Exceptions: which incidents somebody has decided, for a reason and a time, not to be told of."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import msgspec

from models.alert import Alert

Network = IPv4Network | IPv6Network
_SECOND_US = 1_000_000


class AlertException(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Incidents that are not told of until `expiry`, and who answers for that.

    Every key that is given must match: `tenant` and `detection` (its id) those of the incident; `cidr`, `user`,
    `endpoint` or `source` its entity, or one of two; `user_agent` that of each of its evidences. `*` stands for any run
    of characters. `cidr` concerns incidents of addresses only, and an IPv6 entity, which is a network, must lie wholly
    inside.

    A user agent is what the caller says it is: alone it opens a door to everybody who sends it.
    """

    id: str = ""
    cidr: str = ""
    user: str = ""
    user_agent: str = ""
    endpoint: str = ""
    source: str = ""
    tenant: str = ""
    detection: str = ""
    owner: str = ""
    reason: str = ""
    expiry: str = ""


ENTITY_KEYS = ("cidr", "user", "endpoint", "source")
MATCH_KEYS = (*ENTITY_KEYS, "user_agent", "tenant", "detection")


def network(text: str) -> Network:
    """The network of a CIDR or address; one of mapped IPv4 addresses is the IPv4 network it maps.

    Raises
    ------
    ValueError
        It is none, has a zone, or has bits set beyond its prefix.

    >>> network("10.0.0.0/8"), network("::ffff:192.0.2.0/120"), network("2001:db8::/32")
    (IPv4Network('10.0.0.0/8'), IPv4Network('192.0.2.0/24'), IPv6Network('2001:db8::/32'))
    """
    if "%" in text:
        raise ValueError("an address with a zone is nobody else's")
    found = ip_network(text)
    if isinstance(found, IPv6Network) and found.prefixlen >= 96 and int(found.network_address) >> 32 == 0xFFFF:
        return IPv4Network((int(found.network_address) & 0xFFFF_FFFF, found.prefixlen - 96))
    return found


def expires(text: str) -> int:
    """An RFC 3339 time as microseconds UTC.

    Raises
    ------
    ValueError
        It is none, or has no offset.

    >>> expires("2026-11-23T06:00:00+01:00") == expires("2026-11-23T05:00:00Z") == 1_795_410_000_000_000
    True
    """
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII):
        raise ValueError("not an RFC 3339 time with offset")
    since = datetime.fromisoformat(text.upper()) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _SECOND_US + since.microseconds


class Exceptions:
    """All exceptions of a configuration. Of several that match, the first counts that needs no evidence.

    Cost: one pass over the exceptions for each incident, none for an event.
    """

    def __init__(self, exceptions: Iterable[AlertException]) -> None:
        compiled = [_Compiled(one) for one in exceptions]
        self._plain = [one for one in compiled if one.user_agent is None]
        self._by_evidence = [one for one in compiled if one.user_agent is not None]

    def by_name(self, create: Alert) -> str | None:
        """The id of the exception that an incident falls under by tenant, detection and entity alone."""
        return next((one.id for one in self._plain if one.concerns(create)), None)

    def may_depend(self, create: Alert) -> bool:
        """Whether there is an exception that only the incident's evidences keep from it, or do not."""
        return any(one.concerns(create) for one in self._by_evidence)

    def by_evidence(self, create: Alert, evidences: tuple[Mapping[str, Any], ...]) -> str | None:
        """The id of the exception that an incident with these evidences falls under by their user agents."""
        return next((one.id for one in self._by_evidence if one.concerns(create) and one.seen(evidences)), None)


class _Compiled:
    def __init__(self, one: AlertException) -> None:
        self.id = one.id
        self.expiry = expires(one.expiry)
        self.network = network(one.cidr) if one.cidr else None
        self.tenant = pattern(one.tenant)
        self.detection = pattern(one.detection)
        self.user = pattern(one.user), pattern(unicodedata.normalize("NFKC", one.user).lower())
        self.endpoint = pattern(one.endpoint)
        self.source = pattern(one.source)
        self.user_agent = pattern(one.user_agent)

    def concerns(self, alert: Alert) -> bool:
        """Whether all matches but the user agent; the time is that of the create."""
        if alert.time >= self.expiry:
            return False
        entities = dict(alert.entities)
        texts = [(self.tenant, alert.tenant), (self.detection, alert.detection)]
        for dimension, wanted in (("endpoint", self.endpoint), ("source", self.source), ("user", self.user[0])):
            if wanted is not None and dimension not in entities:
                return False
        texts += [(self.endpoint, entities.get("endpoint", "")), (self.source, entities.get("source", ""))]
        if not all(wanted is None or wanted.fullmatch(text) for wanted, text in texts):
            return False
        # An id is compared as it is, a typed name as names are normalised.
        if self.user[0] and not any(wanted and wanted.fullmatch(entities["user"]) for wanted in self.user):
            return False
        return self.network is None or ("ip" in entities and inside(entities["ip"], self.network))

    def seen(self, evidences: tuple[Mapping[str, Any], ...]) -> bool:
        """Whether every evidence has the user agent; without evidences none has."""
        if self.user_agent is None:
            return True
        agents = [evidence.get("user_agent") for evidence in evidences]
        return bool(agents) and all(isinstance(a, str) and self.user_agent.fullmatch(a) is not None for a in agents)


def pattern(text: str) -> re.Pattern[str] | None:
    """What a text with `*` matches, None for an empty one.

    No `*` can backtrack into another: every run between two stars is taken at its first place.

    >>> pattern("brute_*").fullmatch("brute_force_ip") is not None, pattern("")
    (True, None)
    """
    if not text:
        return None
    first, *rest = text.split("*")
    if not rest:
        return re.compile(re.escape(first), re.DOTALL)
    *middle, last = rest
    atoms = "".join(f"(?>.*?{re.escape(part)})" for part in middle if part)
    return re.compile(f"{re.escape(first)}{atoms}.*{re.escape(last)}", re.DOTALL)


def inside(entity: str, wanted: Network) -> bool:
    """Whether an entity is an address or a network that lies wholly inside one.

    >>> inside("192.0.2.7", network("192.0.2.0/24")), inside("sam", network("192.0.2.0/24"))
    (True, False)
    """
    try:
        found = network(entity)
    except ValueError:
        return False
    return found.version == wanted.version and found.subnet_of(wanted)  # type: ignore[arg-type]
