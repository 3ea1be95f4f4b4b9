"""A flood of calls that need no account, from one machine or from many (T1498, T1499.002)."""

import numpy as np

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """At least 600 a minute for two to four minutes, and eight times what the flooded call ever has.

    Where that is twice the tenant's ordinary traffic, the tenant is attacked too.
    """
    tenant = scene.tenant()
    ordinary = scene.events * scene.rhythm.rate(start)
    # No flooded call has more than 3 % of the ordinary traffic
    rate = max(600.0, 8 * 0.03 * ordinary) * scene.rng.uniform(1.0, 2.0)
    minutes = scene.rng.uniform(2, 4)
    sources = scene.newcomers.bots(scene.between(40, 150)) if scene.turn % 2 else scene.hosted()
    size = int(rate * minutes)
    rows = scene.rows(scene.scattered(start, int(minutes * MINUTE_US), size), tenant, sources, agents=6)
    rows["operation"] = op.FLOODED[scene.between(0, len(op.FLOODED) - 1)]
    rows["wording"] = op.ANONYMOUS
    limited = scene.rng.random(size - size // 4) < 0.5
    rows["result"][size // 4 :] = np.where(limited, op.RATE_LIMITED, op.SUCCESS)
    moves = rate >= 2 * ordinary * scene.rhythm.tenant_share(start, tenant)
    return scene.attack("traffic_spike", rows, "ip", "endpoint", *(["tenant"] if moves else []))


KIND = Kind("traffic_spike", _draw, ("traffic_spike",), learned=True)
