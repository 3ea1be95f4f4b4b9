"""Programs with an API key of their own: steady, the same few calls again and again, some only by day or by night."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation import operations as op
from models.simulation.population import SERVICE_AGENTS, Population
from models.simulation.rhythm import DAY_US, HOUR_US, TENANT_OFFSETS_US
from models.simulation.traffic import finish

SHARE: Final = 0.04
"""Of all events, if all of them ran all day."""
_SESSIONS: Final = 1 << 41
_DEVICES: Final = 1 << 29


class Job(NamedTuple):
    """What a bot calls, in turn, and between which local hours (over midnight if the first is the later one)."""

    calls: tuple[int, ...]
    hours: tuple[int, int]


_ORDERS, _EVENTS, _REPLIES = op.calls("/v1/orders", "/v1/events", "/v1/messages/{id}/reply", method="POST")
JOBS: Final = (
    Job((op.TOKEN_REFRESH, *op.calls("/v1/orders", "/v1/orders/{id}", "/v1/shipments/{id}"), _ORDERS), (0, 24)),
    Job((op.TOKEN_REFRESH, _EVENTS, *op.calls("/v1/messages"), _REPLIES, _EVENTS), (6, 21)),
    Job((op.AVAILABILITY,), (0, 24)),
    Job((op.TOKEN_REFRESH, *op.calls("/v1/invoices", "/v1/invoices/{id}"), *op.EXPORTS), (23, 5)),
)
DAY_JOB: Final = 1
"""The job that is done by day, and writes more than it reads."""


def job(bot: int) -> int:
    """The number of a bot's job; bots 3, 4 and 5, one of each tenant, have the day's job.

    >>> [job(bot) for bot in range(6)]
    [0, 2, 3, 1, 1, 1]
    """
    return (0, 2, 3, DAY_JOB, DAY_JOB, DAY_JOB)[bot % 6]


def awake(bot: int, tenant: int, time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a bot of a tenant works at times in microseconds UTC."""
    first, last = JOBS[job(bot)].hours
    hour = (time + TENANT_OFFSETS_US[tenant]) % DAY_US / HOUR_US
    return (hour >= first) & (hour < last) if first < last else (hour >= first) | (hour < last)


@dataclass(slots=True)
class Bots:
    """All bots' rows, block by block."""

    rng: np.random.Generator
    people: Population
    start: int
    period: int
    """Microseconds between two calls of one bot."""
    _phase: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._phase = self.rng.integers(0, self.period, len(self.people.bot_tenant))

    def block(self, first: int, until: int) -> NDArray[np.void]:
        """The rows from one time to before another. Not sorted."""
        parts = [self._rows(bot, first, until) for bot in range(len(self._phase))]
        rows = np.concatenate(parts)
        finish(self.rng, rows)
        return rows

    def _rows(self, bot: int, first: int, until: int) -> NDArray[np.void]:
        begin = self.start + int(self._phase[bot])
        turn = np.arange(max(-(-(first - begin) // self.period), 0), max(-(-(until - begin) // self.period), 0))
        turn = turn[awake(bot, int(self.people.bot_tenant[bot]), begin + turn * self.period)]
        late = (self.rng.random(len(turn)) * 0.08 * self.period).astype(np.int64)
        rows = np.zeros(len(turn), op.ROW)
        rows["time"] = (begin + turn * self.period + late) // 1000 * 1000
        calls = np.array(JOBS[job(bot)].calls)
        rows["operation"] = calls[turn % len(calls)]
        rows["result"][self.rng.random(len(turn)) < 0.002] = op.SERVER_ERROR
        rows["session"] = _SESSIONS + (bot << 20) + turn // 200
        name(rows, self.people, bot)
        return rows


def name(rows: NDArray[np.void], people: Population, bot: int) -> None:
    """Make rows a bot's, from its own machine."""
    rows["user"] = len(people) + bot
    rows["tenant"] = people.bot_tenant[bot]
    rows["ip"] = people.bot_address[bot]
    rows["agent"] = SERVICE_AGENTS.start + bot % len(SERVICE_AGENTS)
    rows["device"] = _DEVICES + bot
    rows["target"] = -1
    rows["attack"] = -1
