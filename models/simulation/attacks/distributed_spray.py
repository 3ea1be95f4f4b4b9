"""A few passwords for many accounts from many addresses, one client (T1110.003)."""

import numpy as np

from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.attacks.password_spray import spray
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """At least 60 accounts of a tenant and 24 addresses within 12 minutes, 8 at most each.

    More accounts fail than sign in at the same time, up to 1,200: a spray that a tenant's own crowd covers is not one
    that could be seen.
    """
    tenant = int(scene.rng.choice(3, p=(0.2, 0.4, 0.4)))
    busy = scene.events * scene.rhythm.rate(start) * scene.rhythm.tenant_share(start, tenant)
    size = int(np.clip(scene.rng.uniform(60, 140) + busy * 15 * 0.22, 60, 1_200))
    users = scene.victims(tenant, size)
    attempts = int(len(users) * scene.rng.uniform(1, 1.8))
    sources = scene.newcomers.bots(max(scene.between(24, 60), -(-attempts // 8)))
    times = scene.scattered(start, int(scene.rng.uniform(5, 12) * MINUTE_US), attempts)
    rows = scene.rows(times, tenant, sources)
    spray(scene, rows, users)
    return scene.attack("distributed_spray", rows, "tenant", "ip", "user")


KIND = Kind("distributed_spray", _draw, ("distributed_spray",))
