"""The features of behaviour: what they mean, how they are scaled, and the room that they need.

Each compares an entity's *recent* behaviour (the last minutes, fading by 0.85 a minute, forgotten after 16 minutes of
silence) with its own past, the crowd of its shard weighing in while its past is short. `x / (x + half)` brings each to
0 .. 1 (times its weight), so that no flood can move a scale that others are measured by; less than usual counts as 0.

| feature | what it says | half |
|---|---|---|
| `calls` | mix of endpoints and methods (of an endpoint: methods and errors) away from its own | 4 |
| `outcomes` | mix of kinds of action and errors (of an endpoint: answers) away from its own | 4 |
| `crowd_calls` | its distance from the crowd's mix of calls, beyond its usual one | 4 |
| `crowd_outcomes` | its distance from the crowd's mix of outcomes, beyond its usual one | 4 |
| `persistence` | share of the last 16 minutes in which it was active, beyond its usual one | 1/2 |
| `volume` | square root of recent events, beyond its usual one | 4 |
| `spacing` | evenness of events over the 5 s panes (standard deviations below Poisson), beyond its usual one | 4 |
| `errors` | share of errors, beyond its usual one | 1/2 |
| `newness` | share of the minute's counterparts that it never met | 1 |
| `hour` | how much rarer than the crowd it is active at this time of day | 1 |

Distances of mixes are Freeman-Tukey's (square roots of counts, which makes them standard deviations), of two samples
where the past is one. A minute counts for at most 64 events in a mix.

When they fail: a sketch has 16 cells, so two endpoints may share one; an entity that was always odd is not odd to
itself; a change slower than the profile's memory (some 250 to 4,000 events, 50 minutes for levels) is followed.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.alert import Reason
from models.base import ACTIONS, IP, METHODS, USER
from models.kernels.behaviour import (
    CELLS,
    HOURS,
    LEVELS,
    CrowdArrays,
    ProfileArrays,
    RecentArrays,
    SumArrays,
)
from models.kernels.pages import zeros

BEHAVIOUR: Final = (
    "calls", "outcomes", "crowd_calls", "crowd_outcomes", "persistence", "volume", "spacing", "errors", "newness",
    "hour",
)  # fmt: skip
MEANING: Final = {
    "calls": "calls unlike its own",
    "outcomes": "kinds of action and outcomes unlike its own",
    "crowd_calls": "calls unlike the others'",
    "crowd_outcomes": "kinds of action and outcomes unlike the others'",
    "persistence": "more persistent than usual",
    "volume": "more events than usual",
    "spacing": "more evenly spaced than usual",
    "errors": "more errors than usual",
    "newness": "counterparts it never met",
    "hour": "an hour at which it is not active",
}
"""What a high value of each says, for an alert's reader."""
HALF: Final = (4.0, 4.0, 4.0, 4.0, 0.5, 4.0, 4.0, 0.5, 1.0, 1.0)
_OF_PEOPLE: Final = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.15, 0.15, 0.15, 0.15)
_OF_PLACES: Final = (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0)


def weights(dimension: int) -> tuple[float, ...]:
    """The greatest value of each feature in a dimension: trees halve a feature as often as its range is large.

    How long and how much an address or a user is active tells a program from a person; of an endpoint or a tenant it
    only tells the time of day. Chosen on simulated traffic: features
    that most odd behaviour shares must carry the forest, for each that does not dilutes it.

    >>> from models.base import ENDPOINT
    >>> dict(zip(BEHAVIOUR, weights(ENDPOINT), strict=True))["volume"]
    0.0
    """
    return _OF_PEOPLE if dimension in (IP, USER) else _OF_PLACES


def carrying(dimension: int) -> NDArray[np.int64]:
    """The features that weigh at least a half: all that an ensemble takes, to which every column counts alike.

    >>> from models.base import ENDPOINT
    >>> [BEHAVIOUR[f] for f in carrying(ENDPOINT)]
    ['calls', 'outcomes', 'crowd_calls', 'crowd_outcomes', 'errors', 'newness']
    """
    return np.flatnonzero(np.array(weights(dimension)) >= 0.5)


AUTHENTICATE, TOKEN, READ, WRITE, ADMINISTER, RECOVER, EXPORT, ANYTHING = range(8)
_CLASSES: Final = {
    "login": AUTHENTICATE, "logout": AUTHENTICATE, "register": AUTHENTICATE, "mfa_challenge": AUTHENTICATE,
    "token_issue": TOKEN, "token_refresh": TOKEN, "data_read": READ, "data_export": EXPORT,
    "email_change": WRITE, "profile_update": WRITE, "account_lock": ADMINISTER, "account_unlock": ADMINISTER,
    "account_delete": ADMINISTER, "role_change": ADMINISTER, "policy_change": ADMINISTER,
    "api_key_change": ADMINISTER, "password_reset_request": RECOVER, "password_reset": RECOVER,
    "password_change": RECOVER,
}  # fmt: skip


def action_classes() -> NDArray[np.uint8]:
    """The class of each action by method, shape (methods, actions): what only says `api_call` is what its method does.

    >>> classes = action_classes()
    >>> call, login = ACTIONS.index("api_call"), ACTIONS.index("login")
    >>> [int(classes[METHODS.index(m), call]) for m in ("", "GET", "DELETE")], int(classes[1, login])
    ([7, 2, 3], 0)
    """
    classes = np.full((len(METHODS), len(ACTIONS)), ANYTHING, np.uint8)
    for action, cls in _CLASSES.items():
        classes[:, ACTIONS.index(action)] = cls
    for action in ("api_call", "other"):
        classes[1:3, ACTIONS.index(action)] = READ
        classes[3:7, ACTIONS.index(action)] = WRITE
    return classes


def reasons_of(rows: NDArray[np.float64]) -> list[tuple[Reason, ...]]:
    """The reasons of each step, of shape (n, REASONS, REASON_FIELDS), as an alert names them.

    >>> reasons_of(np.array([[[1.0, 0.8, 0.1, 0.02], [-1.0, 0.0, 0.0, 0.0]]]))
    [(Reason(feature='outcomes', observed=0.8, typical=0.1, drop=0.02),)]
    """
    return [tuple(Reason(BEHAVIOUR[int(f)], *more) for f, *more in step if f >= 0) for step in rows.tolist()]


def allocate_sums(places: int) -> SumArrays:
    """Room for so many open minutes."""
    return SumArrays(zeros((places, 2, CELLS), np.uint16), zeros(places, np.uint64))


def allocate_recent(rings: int) -> RecentArrays:
    """Recent behaviour of so many active entities, none yet."""
    return RecentArrays(
        zeros((rings, 2, CELLS), np.float32),
        zeros((rings, 3), np.float32),
        zeros(rings, np.uint32),
        zeros(rings, np.int32),
    )


def allocate_profiles(records: int) -> ProfileArrays:
    """Profiles of so many entities, nothing learned."""
    return ProfileArrays(
        zeros((records, 2, CELLS), np.uint8),
        zeros((records, HOURS), np.uint8),
        zeros(records, np.uint64),
        zeros((records, LEVELS), np.float32),
        zeros(records, np.int32),
    )


def empty_crowd() -> CrowdArrays:
    """A crowd of which nothing is known: every cell and hour alike."""
    return CrowdArrays(
        np.full((2, CELLS), 1.0 / CELLS), np.full(HOURS, 1.0 / HOURS), np.zeros(LEVELS), np.zeros(1, np.int64)
    )
