"""What every attack is made of: its rows, and what a kind may know of the run that it is drawn for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation import operations as op
from models.simulation.population import ATTACK_AGENTS, Newcomers, Population
from models.simulation.rhythm import MINUTE_US, TENANT_SHARES, Rhythm
from models.simulation.traffic import finish

SESSIONS: Final = 1 << 40
"""An attack's sessions begin here; no run has so many ordinary visits."""
_DEVICES: Final = 1 << 28


@dataclass(slots=True, frozen=True)
class Attack:
    """One attack: its rows by time, and the dimensions in which the entities of those rows are its own.

    A row's `attack` is set when the plan is made.
    """

    kind: str
    rows: NDArray[np.void]
    dimensions: tuple[str, ...]

    @property
    def start(self) -> int:
        """Microseconds UTC of the first event."""
        return int(self.rows["time"][0])

    @property
    def end(self) -> int:
        """Microseconds UTC of the last event."""
        return int(self.rows["time"][-1])

    def moved(self, by: int) -> "Attack":
        """The same attack, later by whole milliseconds."""
        rows = self.rows.copy()
        rows["time"] += by
        rows["arrival"] += by
        return Attack(self.kind, rows, self.dimensions)


@dataclass(slots=True)
class Scene:
    """The run that attacks are drawn for. `turn` counts the attacks of one kind, so that each form has its turn."""

    rng: np.random.Generator
    people: Population
    rhythm: Rhythm
    events: int
    newcomers: Newcomers
    turn: int = 0

    def tenant(self) -> int:
        """Some tenant, the larger ones more often."""
        return int(self.rng.choice(len(TENANT_SHARES), p=TENANT_SHARES))

    def victims(self, tenant: int, size: int) -> NDArray[np.int64]:
        """Accounts of a tenant, none an administrator's unless it has no others; fewer where it has fewer."""
        everybody = np.flatnonzero(self.people.tenant == tenant)
        accounts = np.setdiff1d(everybody, self.people.admins)
        return np.asarray(self.rng.permutation(accounts if len(accounts) else everybody)[:size])

    def regular(self, tenant: int) -> int:
        """One of the accounts of a tenant that are seen most."""
        return int(self.rng.choice(self.people.accounts(tenant)[:60]))

    def between(self, least: int, most: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(least, most + 1))

    def minutes(self, least: float, most: float) -> int:
        """A length of time in microseconds."""
        return int(self.rng.uniform(least, most) * MINUTE_US)

    def hosted(self, size: int = 1) -> list[int]:
        """Machines at hosting companies, one address each."""
        return [self.newcomers.hosted() for _ in range(size)]

    def scattered(self, start: int, length: int, size: int) -> NDArray[np.int64]:
        """Times at random, the first at the start."""
        moment = np.sort(self.rng.random(size))
        moment[0] = 0.0
        return start + (moment * length).astype(np.int64)

    def spaced(self, start: int, gap: float, size: int, spread: float = 0.12) -> NDArray[np.int64]:
        """Times at nearly equal gaps (microseconds), as a program keeps them; `spread` is their variation."""
        gaps = gap * np.clip(1 + spread * self.rng.standard_normal(size), 0.2, 2.0)
        gaps[0] = 0
        return start + np.cumsum(gaps).astype(np.int64)

    def rows(self, times: NDArray[np.int64], tenant: int, sources: Sequence[int], agents: int = 1) -> NDArray[np.void]:
        """Rows of nobody at these times, the sources taking turns, with one or a few clients among them."""
        size = len(times)
        rows = np.zeros(size, op.ROW)
        rows["time"] = times // 1000 * 1000
        rows["tenant"] = tenant
        rows["ip"] = np.array(sources)[np.arange(size) % len(sources)]
        rows["agent"] = ATTACK_AGENTS.start + (self.between(0, 5) + rows["ip"] % agents) % len(ATTACK_AGENTS)
        rows["device"] = _DEVICES + rows["ip"]
        rows["session"] = SESSIONS + (int(self.rng.integers(1 << 15)) << 24) + np.arange(size)
        rows["user"] = rows["target"] = -1
        return rows

    def attack(self, kind: str, rows: NDArray[np.void], *dimensions: str) -> Attack:
        """The attack of these rows."""
        rows = rows[np.argsort(rows["time"], kind="stable")]
        finish(self.rng, rows)
        return Attack(kind, rows, dimensions)


def as_people(scene: Scene, rows: NDArray[np.void], users: NDArray[np.int64]) -> None:
    """Make the rows those of accounts, at their own homes with their own devices."""
    people = scene.people
    rows["user"] = users
    rows["ip"] = people.home[users]
    rows["agent"] = people.desktop[users]
    rows["device"] = users * 2


class Kind(NamedTuple):
    """A kind of attack: its name, what draws one from about a time on, and the detections that should see it.

    `learned`: it is one of much traffic, and only stands out once the day's rhythm has been seen. `draw` gives None
    where the run has no place for it.
    """

    name: str
    draw: Callable[[Scene, int], Attack | None]
    expected: tuple[str, ...]
    learned: bool = False
