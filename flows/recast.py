"""Simulated attacks on a platform's own tenants, accounts and endpoints, not on the simulation's."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.formats.truth import Truth
from flows.result_lines import LONGEST
from models.base import DIMENSIONS

_MOST_TENANTS: Final = 1_000
_MOST_ACCOUNTS: Final = 100_000  # of a tenant
_MOST_ENDPOINTS: Final = 100  # of a tenant and action
Members = Callable[[dict[str, Any]], dict[str, Any]]


class _Seen(msgspec.Struct):
    """What is looked at of an event; a member of a wrong type is nobody's name."""

    tenant: Any = None
    action: Any = None
    user: Any = None
    username: Any = None
    endpoint: Any = None


class Place:
    """A tenant of the range: who has accounts there, and which endpoints each action is called at."""

    def __init__(self) -> None:
        self.events = 0
        self.accounts: dict[str, None] = {}
        self.order: list[str] = []  # in which they are attacked
        self.endpoints: dict[str, dict[str, None]] = {}
        self.cast: dict[str, str] = {}  # the simulation's accounts, by the range's that play them

    def see(self, event: _Seen) -> None:
        """Learn the names in an event, up to a limit of each."""
        self.events += 1
        account = event.username if isinstance(event.username, str) else event.user
        if isinstance(account, str) and account and len(self.accounts) < _MOST_ACCOUNTS:
            self.accounts[account] = None
        if isinstance(event.endpoint, str) and isinstance(event.action, str):
            found = self.endpoints.setdefault(event.action, {})
            if len(found) < _MOST_ENDPOINTS:
                found[event.endpoint] = None

    def account(self, simulated: str) -> str:
        """The account that plays a simulated one: another for each, while there are enough."""
        if self.order and simulated not in self.cast:
            self.cast[simulated] = self.order[len(self.cast) % len(self.order)]
        return self.cast.get(simulated, simulated)


class Range:
    """Whom and what simulated attacks can hit in some events.

    Tenants are taken by how busy they are, accounts in an order that the seed says, endpoints by the action that is
    called there. A name that the range has no counterpart of stays as it is: an account that does not exist, and the
    addresses, because attackers come from outside. Memory is bounded: 1,000 tenants, 100,000 accounts of each.
    `members` gives the canonical members of an event of another format than `lapwing`.
    """

    def __init__(self, lines: Iterable[bytes], seed: int, members: Members | None = None) -> None:
        places: dict[str, Place] = {}
        plain, whole = msgspec.json.Decoder(_Seen), msgspec.json.Decoder(dict[str, Any])
        for line in lines:
            try:
                event = plain.decode(line) if members is None else msgspec.convert(members(whole.decode(line)), _Seen)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # such a line is repaired on its way through the flow, and names nobody here
            tenant = event.tenant if isinstance(event.tenant, str) else ""
            if tenant in places or len(places) < _MOST_TENANTS:
                places.setdefault(tenant, Place()).see(event)
        order = np.random.default_rng(seed)
        for name in sorted(places):
            accounts = sorted(places[name].accounts)
            places[name].order = [accounts[at] for at in order.permutation(len(accounts))]
        self._tenants = sorted(places.items(), key=lambda one: (-one[1].events, one[0]))
        self._of: dict[str, int] = {}  # the simulation's tenants, in the order in which they are attacked
        self._paths: dict[tuple[str, str], int] = {}

    def recast(self, line: bytes) -> bytes:
        """A simulated event as one of the range's."""
        if not self._tenants:
            return line
        event: dict[str, Any] = msgspec.json.decode(line)
        number = self._of.setdefault(event.get("tenant", ""), len(self._of))
        name, place = self._tenants[number % len(self._tenants)]
        simulated: dict[str, str] = {}
        event.pop("tenant", None)
        if name:
            event["tenant"] = name
        for member in ("actor", "user", "username", "target"):
            if member in event and _is_account(member, event):
                simulated[member] = event[member] if member != "username" else event["user"]
        event |= {member: place.account(one) for member, one in simulated.items()}
        if called := list(place.endpoints.get(event["action"], ())):
            path = event.get("endpoint", "")
            at = self._paths.setdefault((event["action"], path), sum(a == event["action"] for a, _ in self._paths))
            event["endpoint"] = called[at % len(called)]
        return msgspec.json.encode(event) + b"\n"


def _is_account(member: str, event: dict[str, Any]) -> bool:
    """Whether a member of a simulated event names an account that exists: a username alone does not."""
    if member == "target":
        return event["target"] == event.get("user") or str(event["action"]).startswith("account_")
    return member != "username" or "user" in event


def relabelled(truth: Sequence[Truth], before: Sequence[bytes], after: Sequence[bytes]) -> list[Truth]:
    """Labels of events with the entities that the flow sees in them now."""
    now: dict[tuple[str, str], dict[str, None]] = {}
    for old, new in zip(_entities(before), _entities(after), strict=True):
        for dimension, was, is_now in zip(DIMENSIONS, old, new, strict=True):
            now.setdefault((dimension, was), {})[is_now] = None
    return [
        msgspec.structs.replace(
            one,
            entities={
                dimension: list(dict.fromkeys(name for one in entities for name in now.get((dimension, one), (one,))))
                for dimension, entities in one.entities.items()
            },
        )
        for one in truth
    ]


def _entities(lines: Sequence[bytes]) -> list[tuple[str, ...]]:
    """The entities of each event, as the flow names them."""
    found = decode(raw_batch("attacks", lines), Limits(max_message_bytes=LONGEST))
    blob = found.names.tobytes()
    columns = []
    for start, length in zip(found.name_start.tolist(), found.name_length.tolist(), strict=True):
        columns.append([blob[at : at + n].decode() for at, n in zip(start, length, strict=True)])
    return list(zip(*columns, strict=True))
