"""Forgotten passwords: for many accounts from one address, or for one account again and again (T1589.002, T1110)."""

import numpy as np

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene


def _draw(scene: Scene, start: int) -> Attack:
    """30 to 150 accounts within 12 minutes, or 12 to 30 requests for one within 40; nobody finishes the reset."""
    tenant = scene.tenant()
    if scene.turn % 2:
        users = scene.victims(tenant, 1)
        times = scene.scattered(start, scene.minutes(10, 40), scene.between(12, 30))
        rows = scene.rows(times, tenant, scene.hosted(scene.between(1, 3)))
    else:
        users = scene.victims(tenant, scene.between(30, 150))
        rows = scene.rows(scene.scattered(start, scene.minutes(4, 12), len(users)), tenant, scene.hosted())
    rows["user"] = users[np.arange(len(rows)) % len(users)]
    rows["operation"] = op.RESET_REQUEST
    return scene.attack("reset_surge", rows, "ip", "user")


KIND = Kind("reset_surge", _draw, ("reset_surge",))
