"""A program that reads everything it can reach, below every limit (T1530, T1087.004)."""

import numpy as np

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """6 to 15 reads a minute at even gaps for 40 to 100 minutes, over all the API; at most 40 accounts in 10 minutes.

    With an account's own session from a hosted machine, or nobody's from somebody's home.
    """
    tenant = scene.tenant()
    gap = MINUTE_US / scene.rng.uniform(6, 15)
    size = int(scene.minutes(40, 100) / gap)
    owned = scene.turn % 2 == 0
    rows = scene.rows(scene.spaced(start, gap, size), tenant, scene.hosted() if owned else scene.newcomers.bots(1))
    calls = scene.rng.permutation([*op.READS, *op.OWN_READS, *op.EXPORTS, op.SEARCH])
    rows["operation"] = calls[np.arange(size) % len(calls)]
    rows["result"][scene.rng.random(size) < 0.04] = op.NOT_FOUND
    rows["session"] = rows["session"][0]
    if not owned:
        rows["wording"] = op.ANONYMOUS
        return scene.attack("scraper", rows, "ip")
    rows["user"] = scene.victims(tenant, 1)[0]
    directory = np.arange(size) % 4 == 3
    rows["operation"][directory] = op.ACCOUNT_READ
    rows["wording"][directory] = op.READING
    near = scene.victims(tenant, int(directory.sum()))
    rows["target"][directory] = near[np.arange(int(directory.sum())) % len(near)]
    return scene.attack("scraper", rows, "ip", "user")


KIND = Kind("scraper", _draw, ("behaviour",))
