"""Labelled attacks: planned first, so that a run's size is exact; carried out when the run gets there."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.simulation import operations as op
from models.simulation.population import ATTACK_AGENTS, TENANT_SHARES, Newcomers, Population
from models.simulation.rhythm import MINUTE_US, Rhythm
from models.simulation.traffic import finish

ROUND: Final = (
    "one_account", "spray", "actor", "flood_one", "many_sources", "spray_network", "key", "flood_many", "few_accounts",
    "spray_office",
)  # fmt: skip
"""The variants, in the order in which a longer run gets more of them."""
_KINDS: Final = {
    "spray": "password_spray",
    "flood": "traffic_spike",
    "actor": "deletion_surge",
    "key": "deletion_surge",
}
_SESSIONS: Final = 1 << 40  # no run has so many ordinary visits
_DEVICES: Final = 1 << 28


@dataclass(slots=True, frozen=True)
class Attack:
    """One planned attack: `size` events in `length` microseconds from `start`.

    `users` are the accounts it is about, `actor` who deletes (-1: a stolen key, or nobody). `tenant_moves`: the flood
    is at least twice what its tenant's ordinary traffic is at the time.
    """

    variant: str
    start: int
    length: int
    size: int
    tenant: int
    sources: tuple[int, ...]
    users: tuple[int, ...] = ()
    actor: int = -1
    operation: int = op.LOGIN
    tenant_moves: bool = False

    @property
    def kind(self) -> str:
        """What it should be detected as, without a dimension."""
        return _KINDS.get(self.variant.split("_")[0], "brute_force")


def plan(
    rng: np.random.Generator, people: Population, rhythm: Rhythm, events: int, newcomers: Newcomers
) -> list[Attack]:
    """Attacks for a run of so many events, by time: one in 15,000 events, at least 4, at most one in 3 minutes or 200.

    They stay out of the first quarter (floods out of the first 45 %, or 9 hours), in which baselines are learned, and
    take at most 15 % of the events: what does not fit is left out.
    """
    first, last = int(rhythm.edges[0]), int(rhythm.edges[-1])
    count = int(min(max(events / 15_000, 4), max((last - first) / MINUTE_US / 3, 4), 200))
    budget = int(events * 0.15)
    quarter = first + (last - first) // 4
    learned = max(quarter, first + min(int((last - first) * 0.45), 540 * MINUTE_US))
    attacks: list[Attack] = []
    for number in range(count):
        variant = ROUND[number % len(ROUND)]
        earliest = learned if variant.startswith("flood") else quarter
        start = int(rng.integers(earliest, last - (last - first) // 20)) // 1000 * 1000
        attack = _draft(rng, people, rhythm, events, newcomers, variant, start)
        if attack.size <= budget:
            attacks.append(attack)
            budget -= attack.size
    return _apart(sorted(attacks, key=lambda attack: attack.start), last)


def _apart(attacks: list[Attack], last: int) -> list[Attack]:
    """Let none begin within two minutes of the one before, where there is room."""
    out: list[Attack] = []
    for attack in attacks:
        earliest = out[-1].start + 2 * MINUTE_US if out else attack.start
        fits = earliest + attack.length < last
        out.append(replace(attack, start=earliest) if attack.start < earliest and fits else attack)
    return sorted(out, key=lambda attack: attack.start)


def _draft(
    rng: np.random.Generator,
    people: Population,
    rhythm: Rhythm,
    events: int,
    newcomers: Newcomers,
    variant: str,
    start: int,
) -> Attack:
    tenant = int(rng.choice(3, p=TENANT_SHARES))
    if variant.startswith("flood"):
        return _flood(rng, rhythm, events, newcomers, variant, start, tenant)
    accounts = np.setdiff1d(np.flatnonzero(people.tenant == tenant), people.admins)
    length = int(rng.uniform(3, 9) * MINUTE_US)
    source: tuple[int, ...] = (newcomers.hosted(),)
    if variant == "one_account":
        if rng.random() < 0.4:
            source = (int(rng.choice(people.offices if rng.random() < 0.5 else people.carriers)),)
        return Attack(variant, start, length, int(rng.integers(15, 81)), tenant, source, _some(rng, accounts, 1))
    if variant == "many_sources":
        source = tuple(newcomers.bots(int(rng.integers(6, 21))))
        return Attack(variant, start, length, int(rng.integers(24, 61)), tenant, source, _some(rng, accounts, 1))
    if variant == "few_accounts":
        users = _some(rng, accounts, int(rng.integers(2, 5)))
        return Attack(variant, start, length, int(rng.integers(30, 81)), tenant, source, users)
    if variant.startswith("spray"):
        users = _some(rng, accounts, int(rng.integers(60 if variant == "spray_office" else 20, 201)))
        if variant == "spray_network":
            source = tuple(newcomers.network(int(rng.integers(5, 40))))
        if variant == "spray_office":
            source = (int(rng.choice(people.offices)),)
        again = int(rng.integers(0, len(users) + 1))
        return Attack(variant, start, length, len(users) + again, tenant, source, users)
    users = _some(rng, accounts, int(rng.integers(8, 61)))
    length = int(rng.uniform(1.5, 8) * MINUTE_US)
    actor = -1
    if variant == "actor":
        admins = people.admins[people.tenant[people.admins] == tenant]
        actor = int(rng.choice(admins))
        if rng.random() < 0.5:
            source = (int(people.office[actor]),)
    return Attack(variant, start, length, len(users), tenant, source, users, actor, op.ADMIN_DELETE)


def _some(rng: np.random.Generator, accounts: NDArray[np.int64], size: int) -> tuple[int, ...]:
    return tuple(rng.permutation(accounts)[:size].tolist())


def _flood(
    rng: np.random.Generator, rhythm: Rhythm, events: int, newcomers: Newcomers, variant: str, start: int, tenant: int
) -> Attack:
    ordinary = events * rhythm.rate(start)
    # No flooded call has more than 3 % of the ordinary traffic
    rate = max(600.0, 8 * 0.03 * ordinary) * rng.uniform(1.0, 2.0)
    minutes = rng.uniform(2, 4)
    source = (newcomers.hosted(),) if variant == "flood_one" else tuple(newcomers.bots(int(rng.integers(40, 151))))
    return Attack(
        variant, start, int(minutes * MINUTE_US), int(rate * minutes), tenant, source,
        operation=op.FLOODED[int(rng.integers(len(op.FLOODED)))],
        tenant_moves=rate >= 2 * ordinary * TENANT_SHARES[tenant],
    )  # fmt: skip


def carry_out(rng: np.random.Generator, attack: Attack, number: int) -> NDArray[np.void]:
    """The attack's rows, by time. Some brute force ends in a success, a spray meets a weak password now and then."""
    size = attack.size
    rows = np.zeros(size, op.ROW)
    moment = np.sort(rng.random(size))
    moment[0] = 0.0
    rows["time"] = (attack.start + (moment * attack.length).astype(np.int64)) // 1000 * 1000
    rows["tenant"] = attack.tenant
    rows["attack"] = number
    rows["operation"] = attack.operation
    sources = np.array(attack.sources, dtype=np.int32)
    rows["ip"] = sources[np.arange(size) % len(sources)]
    rows["agent"] = ATTACK_AGENTS.start + (number + rows["ip"] * (len(sources) > 20)) % len(ATTACK_AGENTS)
    rows["device"] = _DEVICES + rows["ip"]
    rows["session"] = _SESSIONS + (number << 24) + np.arange(size)
    rows["user"] = -1
    rows["target"] = -1
    if attack.kind == "traffic_spike":
        rows["wording"] = op.ANONYMOUS
        rows["result"][size // 4 :] = np.where(rng.random(size - size // 4) < 0.5, op.RATE_LIMITED, op.SUCCESS)
    elif attack.kind == "deletion_surge":
        rows["wording"] = op.KEYED if attack.actor < 0 else op.ADMINISTRATIVE
        rows["user"] = attack.actor
        rows["target"] = attack.users
        rows["session"] = _SESSIONS + (number << 24)
    else:
        _guess(rng, attack, rows)
    finish(rng, rows)
    return rows


def _guess(rng: np.random.Generator, attack: Attack, rows: NDArray[np.void]) -> None:
    users = np.array(attack.users, dtype=np.int32)
    size = len(rows)
    rows["user"] = users[np.arange(size) % len(users)]
    rows["result"] = op.BAD_CREDENTIALS
    if attack.kind == "password_spray":
        lucky = rng.random(size) < 0.015
        rows["result"][lucky] = op.SUCCESS
        unknown = rows["user"] % 5 == 0
        rows["result"][unknown] = op.UNKNOWN_USER
        rows["wording"][unknown] = op.MISTYPED
        return
    rows["result"][size // 2 :] = np.where(rng.random(size - size // 2) < 0.3, op.LOCKED, op.BAD_CREDENTIALS)
    if rng.random() < 0.3:
        rows["result"][-1] = op.SUCCESS
