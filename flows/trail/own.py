"""What of an event is one person's own: the others in it become pseudonyms, what is theirs is left out."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from flows.trail.keys import KeyStore
from flows.trail.paths import templated
from flows.trail.reader import TrailEvent
from flows.trail.schema import OF_ACTOR

_DEVICE: Final = ("ip_type", "asn", "country", "app", "app_version")
"""Plain members that tell of whoever sent the event, as its address does."""
_KEPT: Final = 1 << 14


class Owner:
    """One person, by any name that the key store knows of them, and pseudonyms for all others.

    A pseudonym is the same for all names of a person and in every output, and leads to nobody without the trail's
    keys. Whether a name is the person's costs a look into the key store; the last 16,000 are kept.
    """

    def __init__(self, keys: KeyStore, name: str) -> None:
        self.name = name
        own = lru_cache(64)(lambda tenant: frozenset(one.id for one in keys.find(tenant, name)))
        self.is_owner: Callable[[str, str], bool] = lru_cache(_KEPT)(
            lambda tenant, other: any(one.id in own(tenant) for one in keys.find(tenant, other))
        )

        def pseudonym(tenant: str, other: str) -> str:
            ids = [one.id.hex() for one in keys.find(tenant, other)]
            return f"person-{keys.token(tenant, 'pseudonym', ids[0] if ids else other).hex()[:10]}"

        self.pseudonym: Callable[[str, str], str] = lru_cache(_KEPT)(pseudonym)

    def is_about(self, event: TrailEvent) -> bool:
        """Whether an event is about the person; of one that says no user, whether the person is its object."""
        told = event.event
        name = _text(told, "user") or _text(told, "username") or _text(told, "target")
        return bool(name) and self.is_owner(event.tenant, name)

    def members(self, event: TrailEvent) -> dict[str, Any]:
        """The event's members without what others own."""
        return own_members(event, self.is_owner, self.pseudonym)


def own_members(
    event: TrailEvent, is_owner: Callable[[str, str], bool], pseudonym: Callable[[str, str], str]
) -> dict[str, Any]:
    """The members of an event that are the owner's, or nobody's.

    Of a user that is somebody else neither names nor what was changed are told, only which fields; of somebody else
    who acted no address, device, session or place; of an object no name. Each has a pseudonym instead, also where a
    name stands inside another text, and paths are without identifiers. What the source wrote into free text about a
    person whom the event does not name cannot be known.

    >>> told = {"user": "u-1", "actor": "u-9", "ip": "203.0.113.7", "action": "email_change",
    ...         "changes": [{"path": "email", "old": "a@x", "new": "b@x"}]}
    >>> event = TrailEvent(tree="a", tenant="a", time=0, received=None, log="l", leaf=0, offset=0, index=0, id=None,
    ...                    event=told, lapwing=None)
    >>> own_members(event, lambda tenant, name: name == "u-9", lambda tenant, name: "person-1")
    {'user': 'person-1', 'actor': 'u-9', 'ip': '203.0.113.7', 'action': 'email_change', 'changes': [{'path': 'email'}]}
    >>> own_members(event, lambda tenant, name: name == "u-1", lambda tenant, name: "person-2")["actor"]
    'person-2'
    """
    told, tenant = dict(event.event), event.tenant
    user = _text(told, "user") or _text(told, "username")
    actor, target = _text(told, "actor"), _text(told, "target")
    names = {name for key in ("user", "username") if (name := _text(told, key))}
    of_user = bool(user) and is_owner(tenant, user)
    is_same = not actor or actor in names
    did = of_user if is_same else is_owner(tenant, actor)
    others: dict[str, str] = {}
    if user and not of_user:
        others |= dict.fromkeys(names, pseudonym(tenant, user))
        told.pop("username", None)
        told["user"] = others[user]
    if not of_user and isinstance(told.get("changes"), list):
        paths = (one.get("path") for one in told["changes"] if isinstance(one, Mapping))
        told["changes"] = [{"path": path} for path in paths if isinstance(path, str)]
    if not did:
        for name in (*OF_ACTOR, *_DEVICE):
            if name not in ("actor", "endpoint"):
                told.pop(name, None)
    if actor and not did:
        told["actor"] = others.setdefault(actor, pseudonym(tenant, actor))
    if target and not (of_user and target in names) and not is_owner(tenant, target):
        told["target"] = others.setdefault(target, pseudonym(tenant, target))
    if (others or not did or event.erased) and (path := _text(told, "endpoint")):
        told["endpoint"] = templated(path)
    if others:
        pattern = re.compile("|".join(map(re.escape, sorted(others, key=len, reverse=True))), re.IGNORECASE)
        folded = {name.casefold(): alias for name, alias in others.items()}

        def instead(found: re.Match[str]) -> str:
            return folded.get(found[0].casefold(), "person")

        for name in ("error", "endpoint", "user_agent", "changes"):
            if name in told:
                told[name] = _replaced(told[name], pattern, instead)
    return told


def _replaced(value: Any, pattern: re.Pattern[str], instead: Callable[[re.Match[str]], str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(instead, value)
    if isinstance(value, list):
        return [_replaced(one, pattern, instead) for one in value]
    if isinstance(value, dict):
        return {pattern.sub(instead, key): _replaced(one, pattern, instead) for key, one in value.items()}
    return value


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""
