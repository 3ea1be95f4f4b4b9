"""Many accounts from one address, slowly and at even gaps (T1110.003)."""

import numpy as np

from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.attacks.password_spray import spray
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """25 to 60 accounts, one try each: at most 13 in any 15 minutes, so that no limit for a spray sees it."""
    tenant = scene.tenant()
    users = scene.victims(tenant, scene.between(25, 60))
    gap = np.clip(scene.rng.uniform(75, 150), 75, 110 * 60 / len(users)) * MINUTE_US / 60
    rows = scene.rows(scene.spaced(start, gap, len(users), 0.06), tenant, scene.hosted())
    spray(scene, rows, users, hit=0.01)
    return scene.attack("slow_spray", rows, "ip", "user")


KIND = Kind("slow_spray", _draw, ("slow_spray",))
