"""Exponentially weighted mean and variance of an entity's rates."""

from typing import Annotated

import msgspec


class EwmaParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ewma"):
    """The learned baseline of every value of every entity, over one-minute tumbling windows.

    The mean and mean square of each value in `models.features.rates` move by `alpha` with every window that is
    learned (by 1/n while the entity is young). Of a rate silent minutes count as windows with no events, in closed
    form, also while the entity is young; a level does not change in silence, and its n counts learned windows.
    The mean of the shard moves by a tenth of `alpha` with every learned window of any entity.

    An entity is scored against its own baseline after `entity_warm_up` learned windows, before that against the
    mean of its shard; until the shard has learned as many, its score is not known. The score is the largest distance
    of a value that is not 0 (events always count), and at least 0. Quantiles are known after `warm_up` learned windows
    of the shard, from a histogram of all closed windows' scores that is halved every `half_life`; an event's from one
    in which each window counts with its events (at most 1,000), so that 0.999 is one event in 1,000.

    A window does not teach when its quantile is at or above `guard`, or its failures or deleted accounts are at or
    above the floors (ip and user only). It then moves nothing of its entity but the marks of the guard, and enters the
    histogram only as its entity's first guarded window of the day. A level that stays guarded for `accept_after`,
    silence aside, is learned from then on, unless a floor holds it: with 0.01 it is normal within two hours more.

    With `season` tenants and endpoints have hours too (UTC): what a minute's events were in each hour of the week, at
    least twice in the last 4 weeks; until an hour of the week was seen twice, that of the day in the last 4 days; until
    that was seen twice, none. A minute is compared with what the entity was of late, or, if that is more, with what
    the hour usually is, times how the entity was of late compared with its usual hours (at most 4 times). So a Monday
    morning that comes every week is expected, and so is a batch at 3 a.m.; an hour that is usually quiet makes nothing
    stranger than it was; an attack is in one round, and no single round is usual. Where hours are known, the variance
    is that of events around them. At most 2,048 entities of a shard have hours, those that have learned 60 windows
    first.

    When it fails: what no hour of the week tells (a yearly sale, a day of another time zone's summer time) is followed
    only as fast as `alpha` allows; a slow rise below the guard is learned as normal (the rules' absolute limits are
    there for it).
    """

    id: str = "rates"
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.01
    warm_up: Annotated[int, msgspec.Meta(ge=1)] = 500
    entity_warm_up: Annotated[int, msgspec.Meta(ge=1)] = 10
    guard: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.999
    accept_after: str = "3h"
    floor_failures: Annotated[int, msgspec.Meta(ge=1)] = 20
    floor_targets: Annotated[int, msgspec.Meta(ge=1)] = 5
    half_life: str = "7d"
    season: bool = True
