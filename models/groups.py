"""Incidents that belong together: one attack, one entry in the queue.

Two incidents of a tenant belong together if they share a key within `QUIET_US`: their entity, or an address or account
that the evidences of one show and the other is about or shows too. So an address and the accounts it attacks, two
addresses after one account, and a typed name and the user id seen with it are one attack; and so are the incidents of
detections that name one campaign, such as a password spray from 400 addresses, and of any detection from the tenth in
a tenant within `QUIET_US` on, with the nine before: a crowd of accounts is attacked by one somebody.

Everything is done in the order of event time, and every length of time is measured in it, so that groups hang on
neither batches nor crashes.
"""

import unicodedata
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Final

import msgspec

from models.alert import CLOSE, Alert, Related
from models.kernels.layout import NEVER

QUIET_US: Final = 1_800_000_000
"""After so much event time without a message a group takes no further incident."""
LONGEST_US: Final = 28_800_000_000
"""A group takes no incident later than this after its first, so that steady noise is no immortal incident: a shift."""
CROWD: Final = 10
MOST_GROUPS: Final = 10_000
MOST_KEYS: Final = 256
MOST_RELATED: Final = 50

_BY_ACTOR: Final = frozenset({
    "account_delete", "account_lock", "account_unlock", "role_change", "policy_change", "api_key_change", "data_read",
    "data_export",
})  # fmt: skip
"""Actions whose user entity is the actor."""

Key = tuple[str, str, str]


class Group(msgspec.Struct, array_like=True):
    """The incidents of one attack.

    `uid`, `opened`, `detection` and `entity` are those of the first; `front` is the uid of the one in the queue, empty
    for none, `severity` its severity, `closing` its close where it waits for the others. A graver one takes the front,
    so that nothing stands behind what may wait longer.
    """

    uid: str
    tenant: str
    opened: int
    detection: str
    entity: str
    latest: int
    front: str
    severity: int
    members: int
    open: list[str]
    keys: list[tuple[str, str]]
    related: dict[str, Related]
    closing: Alert | None = None


def keys(alert: Alert, campaign: str, ipv6_prefix: int, exact: bool) -> list[tuple[str, str]]:
    """What an incident can be recognised by: its entity first, then what its evidences show, where they are exact.

    The events of a traffic spike are anybody's, so they link nothing.
    """
    found = [(alert.dimension, alert.entity)]
    if alert.joint:
        # An endpoint has too many visitors to make one attack of theirs.
        found = [part for part in alert.joint if part[0] != "endpoint"]
    if campaign:
        found.append(("campaign", campaign))
    if exact and alert.dimension in ("ip", "user") and not alert.feature.startswith("events"):
        for evidence in alert.evidences:
            found += _counterparts(evidence, ipv6_prefix)
    return list(dict.fromkeys(found))


def _counterparts(evidence: dict[str, Any], ipv6_prefix: int) -> Iterable[tuple[str, str]]:
    """The address and the accounts of an event, spelled as entities are."""
    if isinstance(ip := evidence.get("ip"), str) and (address := _address(ip, ipv6_prefix)):
        yield "ip", address
    acted = evidence.get("action") in _BY_ACTOR and evidence.get("actor")
    if not acted and isinstance(name := evidence.get("username"), str):
        yield "user", unicodedata.normalize("NFKC", name).lower()
    if isinstance(user := evidence.get("actor" if acted else "user"), str):
        yield "user", user


@lru_cache(maxsize=4_096)
def _address(text: str, ipv6_prefix: int) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), ipv6_prefix), strict=False))


class GroupsState(msgspec.Struct, array_like=True):
    """What there is to remember: the groups, and of each detection in a tenant the latest creates, oldest first."""

    groups: list[Group] = []
    recent: list[tuple[str, str, list[tuple[int, str]]]] = []


class Groups:
    """All groups that live. Cost: a few lookups for each message of an incident."""

    def __init__(self, state: GroupsState | None = None, known: Container[str] | None = None) -> None:
        state = state or GroupsState()
        self._recent = {(tenant, detection): latest for tenant, detection, latest in state.recent}
        self._groups: dict[str, Group] = {}
        self._by_key: dict[Key, Group] = {}
        self._by_incident: dict[str, Group] = {}
        self._forgotten = NEVER
        for group in state.groups:
            if known is not None:  # of a detection that is gone nothing will come any more, not even a close
                group.open = [u for u in group.open if u not in group.related or group.related[u].detection in known]
                if group.front not in group.open and group.closing is None:
                    group.front = ""
            self._add(group)
            self._by_key |= {(group.tenant, *key): group for key in group.keys}
            self._by_incident |= dict.fromkeys(group.open, group)

    def snapshot(self) -> GroupsState:
        """The groups, oldest first, and the latest creates."""
        recent = [(*key, self._recent[key]) for key in sorted(self._recent)]
        return GroupsState(sorted(self._groups.values(), key=_age), recent)

    def __len__(self) -> int:
        return len(self._groups)

    def create(self, alert: Alert, found: list[tuple[str, str]], exact: bool) -> list[Alert]:
        """An incident has opened; the closes of incidents that were in the queue and no longer are.

        One whose count is not yet exact counts as the least that crosses.
        """
        crowd = self._crowd(alert)
        if crowd:
            found = [*found, _crowd_key(alert)]
        group, closes = self._linked(alert, found, crowd)
        if group is None:
            if len(self._groups) >= MOST_GROUPS:
                return closes
            group = Group(
                alert.uid, alert.tenant, alert.time, alert.detection, alert.entity, alert.time, "", 0, 0, [], [], {}
            )  # fmt: skip
            self._add(group)
        group.members += 1
        group.open.append(alert.uid)
        self._by_incident[alert.uid] = group
        return closes + self._see(group, alert, found, alert.count if exact else int(alert.limit))

    def follow(self, alert: Alert, found: list[tuple[str, str]]) -> list[Alert]:
        """An incident goes on, with evidences that may link it to others; closes as `create` gives them."""
        group = self._by_incident.get(alert.uid)
        if group is None:
            return []
        linked, closes = self._linked(alert, found, [group]) if _lives(group, alert.time) else (None, [])
        return closes + self._see(linked or group, alert, found, alert.count)

    def close(self, alert: Alert) -> list[Alert]:
        """An incident has closed: the closes that may now be told, each as it is to be shown.

        The close of the one in the queue waits until the others have closed: what it stands for is not over before.
        """
        group = self._by_incident.pop(alert.uid, None)
        if group is None:
            return [alert]
        group.open.remove(alert.uid)
        if alert.uid == group.front and group.open:
            group.closing = alert
            return []
        out = [self.shown(alert, group)]
        if not group.open:
            if group.closing is not None:
                front = msgspec.structs.replace(group.closing, time=max(group.closing.time, alert.time))
                out.append(self.shown(front, group))
                group.closing = None
            group.front = ""
        return out

    def shown(self, alert: Alert, group: Group | None = None) -> Alert:
        """The message with what is known of its group."""
        group = group or self._by_incident.get(alert.uid)
        if group is None or group.members < 2:
            return alert
        return _marked(alert, group, alert.uid == group.front)

    def foreseen(self, alert: Alert, found: list[tuple[str, str]], before: Sequence[tuple[Alert, set[Key]]]) -> Alert:
        """A create that is told before its pane is final, marked by what is known so far; nothing is changed.

        `before` are creates that were told in the same way and have not joined a group yet, each with its keys.
        """
        if living := self._living(alert, [*found, _crowd_key(alert)]):
            return _marked(alert, living[0], _leads(alert, living[0]))
        mine = {(alert.tenant, *key) for key in found}
        alike = [first for first, _ in before if (first.tenant, first.detection) == (alert.tenant, alert.detection)]
        crowd = len(alike) + len(self._latest(alert)) >= CROWD - 1
        for first, theirs in before:
            if mine & theirs or (crowd and first is alike[0]):
                related = Related(first.uid, first.detection, first.dimension, first.entity, first.count)
                return msgspec.structs.replace(
                    alert,
                    incident=first.uid,
                    front=alert.severity > first.severity,
                    related=(related,),
                    related_count=1,
                )
        return alert

    def belongs(self, digest: Alert, campaign: str) -> Alert:
        """A digest with the attack that its incidents are said to be part of, where there is one."""
        found = [("campaign", campaign), _crowd_key(digest)]
        living = self._living(digest, found)
        return msgspec.structs.replace(digest, incident=living[0].uid) if living else digest

    def forget(self, now: int) -> None:
        """Let go of groups that no incident can join any more. `now` is event time on a grid."""
        if now <= self._forgotten:
            return
        self._forgotten = now
        for group in [g for g in self._groups.values() if not g.open and g.latest + QUIET_US < now]:
            del self._groups[group.uid]
            for key in group.keys:
                del self._by_key[group.tenant, *key]

        for place in [place for place, latest in self._recent.items() if latest[-1][0] + QUIET_US < now]:
            del self._recent[place]

    def _latest(self, alert: Alert) -> list[tuple[int, str]]:
        latest = self._recent.get((alert.tenant, alert.detection), [])
        return [one for one in latest if alert.time - one[0] <= QUIET_US]

    def _crowd(self, create: Alert) -> list[Group]:
        """Remember a create; the groups of those before it, where it makes a crowd of them."""
        latest = self._latest(create)
        self._recent[create.tenant, create.detection] = [*latest, (create.time, create.uid)][1 - CROWD :]
        if len(latest) < CROWD - 1:
            return []
        groups = (self._by_incident.get(uid) for _, uid in latest)
        return [group for group in groups if group is not None and _lives(group, create.time)]

    def _add(self, group: Group) -> None:
        self._groups[group.uid] = group

    def _living(self, alert: Alert, found: list[tuple[str, str]]) -> list[Group]:
        groups = {g.uid: g for key in found if (g := self._by_key.get((alert.tenant, *key))) is not None}
        return sorted((g for g in groups.values() if _lives(g, alert.time)), key=_age)

    def _linked(
        self, alert: Alert, found: list[tuple[str, str]], further: list[Group]
    ) -> tuple[Group | None, list[Alert]]:
        """The group that the keys lead to and further ones, made one; the oldest gives its uid and its front."""
        living = {group.uid: group for group in [*self._living(alert, found), *further]}
        if not living:
            return None, []
        first, *others = sorted(living.values(), key=_age)
        closes = [close for other in others if (close := self._absorb(first, other)) is not None]
        return first, closes

    def _absorb(self, group: Group, other: Group) -> Alert | None:
        del self._groups[other.uid]
        group.latest = max(group.latest, other.latest)
        group.members += other.members
        group.open += other.open
        if other.front and (not group.front or other.severity > group.severity):
            other.closing, group.closing = group.closing, other.closing
            group.front, group.severity = other.front, other.severity
        self._by_incident |= dict.fromkeys(other.open, group)
        for key in other.keys:
            del self._by_key[other.tenant, *key]
        self._point(group, other.keys)
        for related in other.related.values():
            self._relate(group, related)
        return None if other.closing is None else self.shown(other.closing, group)

    def _see(self, group: Group, alert: Alert, found: list[tuple[str, str]], count: int) -> list[Alert]:
        group.latest = max(group.latest, alert.time)
        closes = []
        if alert.activity != CLOSE and _leads(alert, group):
            closing, group.closing = group.closing, None
            group.front, group.severity = alert.uid, alert.severity
            closes = [] if closing is None else [self.shown(closing, group)]
        self._point(group, found)
        self._relate(group, Related(alert.uid, alert.detection, alert.dimension, alert.entity, count))
        return closes

    def _point(self, group: Group, found: list[tuple[str, str]]) -> None:
        """Let keys lead to the group, where they lead to no other that lives: a key leads to one group."""
        for key in found:
            place = (group.tenant, *key)
            other = self._by_key.get(place)
            if other is group or len(group.keys) >= MOST_KEYS or (other and _lives(other, group.latest)):
                continue
            if other:
                other.keys.remove(key)
            group.keys.append(key)
            self._by_key[place] = group

    def _relate(self, group: Group, related: Related) -> None:
        if related.uid in group.related or len(group.related) <= MOST_RELATED:
            group.related[related.uid] = related


def _marked(alert: Alert, group: Group, front: bool) -> Alert:
    """The message as one of a group: the one in the queue names the others, each other names that one."""
    if front:
        related = tuple(one for uid, one in group.related.items() if uid != alert.uid)[:MOST_RELATED]
        count = max(group.members - 1, len(related))
    else:
        related = tuple(one for uid, one in group.related.items() if uid == (group.front or group.uid))
        count = len(related)
    return msgspec.structs.replace(alert, incident=group.uid, front=front, related=related, related_count=count)


def _leads(alert: Alert, group: Group) -> bool:
    return not group.front or alert.severity > group.severity


def _crowd_key(alert: Alert) -> tuple[str, str]:
    return "crowd", alert.detection


def _age(group: Group) -> tuple[int, str, str]:
    return group.opened, group.detection, group.entity


def _lives(group: Group, now: int) -> bool:
    return now - group.latest <= QUIET_US and now - group.opened <= LONGEST_US
