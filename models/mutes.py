"""Mutes: which incidents somebody on shift does not want to be told of for some hours."""

import unicodedata
from collections.abc import Iterable

import msgspec

from models.alert import Alert
from models.exceptions import Network, inside, network, pattern


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents that are not told of until `until`, why, and who says so. Times are wall clock, epoch milliseconds.

    `detection` is an id, `entity` an entity or one of two, an address also by its network, `tenant` a tenant; an empty
    one is any, and `*` stands for any run of characters.
    """

    id: str
    detection: str
    entity: str = ""
    tenant: str = ""
    reason: str
    by: str
    since: int
    until: int


def concerns(mute: Mute, detection: str, tenant: str, entities: Iterable[tuple[str, str]]) -> bool:
    """Whether a mute is of such incidents, whenever they open; entities are (dimension, name).

    >>> one = Mute(id="a", detection="brute_*", entity="sam", reason="test", by="kim", since=0, until=9)
    >>> concerns(one, "brute_force_user", "acme", [("user", "sam")]), concerns(one, "brute_force_ip", "acme", [])
    (True, False)
    """
    return _Compiled(mute).concerns(detection, tenant, entities)


class Mutes:
    """Mutes as they are asked: of several that cover an incident the one that was set first counts.

    A mute covers what opens in event time from its `since` to before its `until`, whenever that is worked off: so a
    restart, or a flow that is behind, silences the same. What opens before `since` by event time it covers only while
    the wall clock has not reached `until`: a flow that is behind is silent at once, and a later replay of the past is
    told.

    Cost: one pass over the mutes for each incident, none for an event.

    >>> one = Mute(id="a", detection="brute_*", entity="203.0.113.0/24", reason="load test", by="kim", since=0, until=9)
    >>> len(Mutes([one]))
    1
    """

    def __init__(self, mutes: Iterable[Mute] = ()) -> None:
        self._all = [_Compiled(one) for one in sorted(mutes, key=lambda one: (one.since, one.id))]

    def __len__(self) -> int:
        return len(self._all)

    def by(self, create: Alert, now_us: int) -> Mute | None:
        """The mute that an incident falls under which opens when the wall clock shows `now_us`."""
        return next((one.mute for one in self._all if one.covers(create, now_us)), None)


class _Compiled:
    def __init__(self, mute: Mute) -> None:
        self.mute = mute
        self._detection, self._tenant, self._entity = map(pattern, (mute.detection, mute.tenant, mute.entity))
        self._name = pattern(unicodedata.normalize("NFKC", mute.entity).lower())  # a typed name, as names are kept
        self._network = _network(mute.entity)

    def covers(self, create: Alert, now_us: int) -> bool:
        since, until = 1000 * self.mute.since, 1000 * self.mute.until
        if create.time >= until or (create.time < since and now_us >= until):
            return False
        return self.concerns(create.detection, create.tenant, create.entities)

    def concerns(self, detection: str, tenant: str, entities: Iterable[tuple[str, str]]) -> bool:
        texts = (self._detection, detection), (self._tenant, tenant)
        if not all(wanted is None or wanted.fullmatch(text) for wanted, text in texts):
            return False
        return self._entity is None or any(self._is(*entity) for entity in entities)

    def _is(self, dimension: str, name: str) -> bool:
        if self._network is not None and dimension == "ip":
            return inside(name, self._network)
        either = (self._entity, self._name) if dimension == "user" else (self._entity,)
        return any(wanted is not None and wanted.fullmatch(name) for wanted in either)


def _network(text: str) -> Network | None:
    try:
        return network(text)
    except ValueError:
        return None
