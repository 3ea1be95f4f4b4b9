"""Ordinary traffic: visits, each a few calls of one account from one place."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.simulation import operations as op
from models.simulation.population import RELEASED_AGENTS, Population, draw, zipf
from models.simulation.rhythm import DAY_US, HOUR_US, MINUTE_US, TENANT_OFFSETS_US, Rhythm

_REFRESHING, _RETURNING, _SIGN_IN, _FORGOT, _ABANDONED, _REGISTERING, _ADMIN = range(7)
_KINDS: Final = np.cumsum([0.37, 0.315, 0.291, 0.003, 0.002, 0.013, 0.006])
# Chance of at least 1, 2, 3 failed logins before what follows, by kind of visit
_FAILURES: Final = np.array(
    [(0, 0, 0), (0, 0, 0), (0.034, 0.008, 0.002), (1, 0.6, 0.2), (1, 0.5, 0.15), (0, 0, 0), (0.03, 0, 0)]
)
_BODY_LEAST: Final = np.array([1, 2, 1, 0, 0, 1, 2])
_BODY_MOST: Final = np.array([5, 10, 7, 4, 1, 5, 6])  # exclusive
_REFRESH: Final = np.array([1.0, 0.42, 0.32, 0.2, 0.0, 0.1, 0.1])
_RARE: Final = np.array(
    [op.PROFILE_UPDATE, op.PASSWORD_CHANGE, op.EMAIL_CHANGE, op.SEARCH, op.AVAILABILITY, op.CAPTCHA]
)
_RARE_SHARES: Final = np.cumsum([0.012, 0.002, 0.001, 0.03, 0.004, 0.004])
_MANAGE: Final = np.array([op.ROLE_CHANGE, op.LOCK, op.UNLOCK, op.POLICY_CHANGE])
_MANAGE_SHARES: Final = np.cumsum([0.25, 0.15, 0.2, 0.02])
_BODY: Final = 9
_BODY_AT: Final = 9
_LAST: Final = _BODY_AT + _BODY
_STEPS: Final = _LAST + 1
_PAUSES: Final = np.array([operation.pause for operation in op.OPERATIONS])
_LATENCIES: Final = np.array([operation.latency for operation in op.OPERATIONS]) * 10
_HOLED: Final = np.array(["{id}" in operation.path for operation in op.OPERATIONS])
_MANAGING: Final = np.array([operation.path.startswith("/v2/manage") for operation in op.OPERATIONS])
DELETIONS_AN_HOUR: Final = 14.0
"""The most accounts that all people together delete in an hour, however busy the platform is."""
_API: Final = zipf(len(op.API), 0.9, 1.5)
_ADDRESS_US: Final = 25 * MINUTE_US
"""How long a carrier leaves a phone its address."""
_UPGRADE_HOURS: Final = 18.0
_OFFSETS: Final = np.array(TENANT_OFFSETS_US)


@dataclass(slots=True)
class Traffic:
    """Ordinary rows of one run, made block by block of its rhythm."""

    rng: np.random.Generator
    people: Population
    rhythm: Rhythm
    visits: int = 0
    _shuffled: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._shuffled = op.FIRST_API + self.rng.permutation(len(op.API))

    def block(self, share_from: float, share_to: float, size: int) -> NDArray[np.void]:
        """Exactly `size` rows of visits that begin between two shares of the rhythm. Not sorted."""
        blocks: list[NDArray[np.void]] = []
        while size > 0:
            rows = self._visits(share_from, share_to, size // 4 + 16)[:size]
            blocks.append(rows)
            size -= len(rows)
        return np.concatenate(blocks) if blocks else np.empty(0, op.ROW)

    def _visits(self, share_from: float, share_to: float, count: int) -> NDArray[np.void]:
        rng, people = self.rng, self.people
        kind = draw(rng, _KINDS, count)
        begin = self.rhythm.at(share_from + (share_to - share_from) * rng.random(count))
        user = self._users(begin)
        user[kind == _ADMIN] = rng.choice(people.admins, int((kind == _ADMIN).sum()))
        hours = float(self.rhythm.at(share_to) - self.rhythm.at(share_from)) / (60 * MINUTE_US)
        step, result = self._steps(kind, hours)
        kept = step >= 0
        pause = _PAUSES[step] * rng.standard_exponential(step.shape) + 0.15
        pause[~kept] = 0.0
        elapsed = np.cumsum(pause, axis=1)
        elapsed -= elapsed[:, :1]
        visit = np.repeat(np.arange(count), kept.sum(axis=1))

        rows = np.zeros(len(visit), op.ROW)
        rows["time"] = (begin[visit] + (elapsed[kept] * 1e6).astype(np.int64)) // 1000 * 1000
        rows["user"] = user[visit]
        rows["operation"] = step[kept]
        rows["result"] = result[kept]
        rows["tenant"] = people.tenant[user][visit]
        place, later, phone = self._place(kind, user, begin)
        # Some leave the house, or come home, in the middle of a visit
        moved = (np.cumsum(kept, axis=1) > 2)[kept]
        rows["ip"] = np.where(moved, later[visit], place[visit])
        rows["agent"] = np.where(phone, self._app(user, begin), people.desktop[user])[visit]
        rows["device"] = (user * 2 + phone)[visit]
        rows["session"] = self.visits + visit
        self.visits += count
        rows["attack"] = -1
        rows["target"] = -1
        self._people(rows)
        finish(rng, rows)
        return rows

    def _steps(self, kind: NDArray[np.int64], hours: float) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """The calls of each visit, -1 where there is none, and what they came to; shape (visits, steps)."""
        rng, count = self.rng, len(kind)
        step = np.full((count, _STEPS), -1, dtype=np.int64)
        result = np.zeros((count, _STEPS), dtype=np.int8)
        fails = rng.random(count)[:, None] < _FAILURES[kind]
        step[:, :3] = np.where(fails, op.LOGIN, -1)
        result[:, :3] = np.where(fails, op.BAD_CREDENTIALS, op.SUCCESS)
        result[fails[:, 0] & (rng.random(count) < 0.2), 0] = op.UNKNOWN_USER
        forgot, registering = kind == _FORGOT, kind == _REGISTERING
        step[forgot, 3] = op.RESET_REQUEST
        step[forgot & (rng.random(count) < 0.85), 4] = op.RESET
        enters = (kind == _SIGN_IN) | forgot | (kind == _ADMIN)
        step[enters, 5] = op.LOGIN
        step[registering, 5] = op.REGISTER
        asked = enters & ((rng.random(count) < 0.18) | (kind == _ADMIN))
        result[asked, 5] = op.CHALLENGE
        step[asked, 7] = op.MFA
        slipped = asked & (rng.random(count) < 0.04)
        step[slipped, 6] = op.MFA
        result[slipped, 6] = op.MFA_FAILED
        step[enters & (rng.random(count) < 0.8), 8] = op.TOKEN_ISSUE
        self._body(kind, step, result)
        step[enters & (rng.random(count) < 0.2), _LAST] = op.LOGOUT
        self._deletions(kind, step, hours)
        return step, result

    def _body(self, kind: NDArray[np.int64], step: NDArray[np.int64], result: NDArray[np.int8]) -> None:
        rng, shape = self.rng, (len(kind), _BODY)
        size = rng.integers(_BODY_LEAST[kind], _BODY_MOST[kind])
        call = self._shuffled[draw(rng, _API, len(kind) * _BODY)].reshape(shape)
        luck = rng.random(shape)
        rare = np.searchsorted(_RARE_SHARES, luck)
        call = np.where(rare < len(_RARE), _RARE[np.minimum(rare, len(_RARE) - 1)], call)
        manage = np.searchsorted(_MANAGE_SHARES, luck)
        managing = (kind == _ADMIN)[:, None] & (manage < len(_MANAGE))
        call = np.where(managing, _MANAGE[np.minimum(manage, len(_MANAGE) - 1)], call)
        call = np.where(rng.random(shape) < _REFRESH[kind][:, None], op.TOKEN_REFRESH, call)
        present = np.arange(_BODY) < size[:, None]
        step[:, _BODY_AT:_LAST] = np.where(present, call, -1)
        failing = rng.random(shape)
        answer = np.zeros(shape, dtype=np.int8)
        api = call >= op.FIRST_API
        answer[api & (failing < 0.012)] = op.NOT_FOUND
        answer[api & (failing < 0.005)] = op.FORBIDDEN
        answer[api & (failing < 0.003)] = op.SERVER_ERROR
        answer[(call == op.TOKEN_REFRESH) & (failing < 0.003)] = op.EXPIRED
        result[:, _BODY_AT:_LAST] = np.where(present, answer, 0)

    def _deletions(self, kind: NDArray[np.int64], step: NDArray[np.int64], hours: float) -> None:
        rng = self.rng
        leaving = np.flatnonzero(kind == _SIGN_IN)
        most = min(0.6 * hours * DELETIONS_AN_HOUR, 0.004 * len(kind))
        chosen = rng.permutation(leaving)[: int(rng.poisson(most))]
        step[chosen, _LAST] = op.SELF_DELETE
        admins = np.flatnonzero(kind == _ADMIN)
        most = min(0.25 * hours * DELETIONS_AN_HOUR, 0.001 * len(kind))
        chosen = rng.permutation(admins)[: int(rng.poisson(most))]
        step[chosen, _LAST] = op.ADMIN_DELETE
        both = chosen[rng.random(len(chosen)) < 0.4]
        step[both, _LAST - 1] = op.ADMIN_DELETE

    def _users(self, begin: NDArray[np.int64]) -> NDArray[np.int64]:
        """Whose each visit is: a tenant that is awake, then one of its accounts by popularity."""
        rng, people = self.rng, self.people
        tenant = self.rhythm.tenant(begin, rng.random(len(begin)))
        low, high = people.bounds[tenant], people.bounds[tenant + 1]
        place = np.searchsorted(people.popularity, low + rng.random(len(begin)) * (high - low), side="right")
        return people.order[np.minimum(place, len(people) - 1)]

    def _app(self, user: NDArray[np.int64], begin: NDArray[np.int64]) -> NDArray[np.int16]:
        """The app's version on each phone: after the run's first release people get the new one, day by day."""
        agent = self.people.phone[user]
        if not self.rhythm.released:
            return agent
        hesitant = -np.log1p(-(user * 2_654_435_761 % 1_000_003) / 1_000_003)
        has = begin > self.rhythm.released[0][0] + (hesitant * _UPGRADE_HOURS * HOUR_US).astype(np.int64)
        return np.where(has, RELEASED_AGENTS.start + agent % len(RELEASED_AGENTS), agent).astype(np.int16)

    def _place(
        self, kind: NDArray[np.int64], user: NDArray[np.int64], begin: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
        """Where each visit comes from, at first and after two calls, and whether it is on a phone."""
        rng, people = self.rng, self.people
        hour = (begin + _OFFSETS[people.tenant[user]]) % DAY_US / HOUR_US
        working = (hour > 7.5) & (hour < 18) & (rng.random(len(kind)) < 0.75) & (people.office[user] >= 0)
        phone = (rng.random(len(kind)) < people.mobile_share[user]) & (kind != _ADMIN)
        working |= kind == _ADMIN
        away = phone & (rng.random(len(kind)) < 0.6)
        fixed = np.where(working, people.office[user], people.home[user])
        turn = user * 7_919 + (begin + user % 1_500 * 1_000_000) // _ADDRESS_US
        mobile = people.carrier[user] + turn * 40_503 % 65_521 % people.carrier_size[user]
        moves = phone & (rng.random(len(kind)) < 0.08)
        later = np.where(away ^ moves, mobile, fixed)
        return np.where(away, mobile, fixed).astype(np.int32), later.astype(np.int32), phone

    def _people(self, rows: NDArray[np.void]) -> None:
        rows["wording"][rows["result"] == op.UNKNOWN_USER] = op.MISTYPED
        changing = (rows["operation"] == op.PROFILE_UPDATE) | (rows["operation"] == op.EMAIL_CHANGE)
        rows["wording"][changing] = op.CHANGING
        managed = np.flatnonzero(_MANAGING[rows["operation"]])
        rows["wording"][managed] = op.ADMINISTRATIVE
        rows["target"][managed] = self._colleagues(rows["tenant"][managed])

    def _colleagues(self, tenant: NDArray[np.int8]) -> NDArray[np.int64]:
        """Some account of each tenant."""
        chosen = np.zeros(len(tenant), dtype=np.int64)
        for number in range(3):
            here = tenant == number
            chosen[here] = self.rng.choice(np.flatnonzero(self.people.tenant == number), int(here.sum()))
        return chosen


def finish(rng: np.random.Generator, rows: NDArray[np.void]) -> None:
    """Give rows what every call has: when it arrives, how long it took, a request number, an identifier in its path.

    Most arrive within a second of their time, none later than 4 seconds.
    """
    size = len(rows)
    slow = np.where(rng.random(size) < 0.02, 1.6, 0.12)
    rows["arrival"] = rows["time"] + (np.minimum(rng.standard_exponential(size) * slow, 4.0) * 1e6).astype(np.int64)
    spread = np.exp(0.45 * rng.standard_normal(size))
    rows["latency"] = np.clip(_LATENCIES[rows["operation"]] * spread, 5, 9_999)
    rows["request"] = rng.integers(0, 1 << 40, size)
    rows["hole"] = np.where(_HOLED[rows["operation"]], rng.integers(0, 1 << 30, size), 0)
    managed = rows["target"] >= 0
    rows["hole"][managed] = rows["target"][managed]
