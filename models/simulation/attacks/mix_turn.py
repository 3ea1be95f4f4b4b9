"""A regular user's account that is suddenly used for something else (T1078.004)."""

import numpy as np

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene, as_people
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """2 to 6 calls a minute for 20 to 50 minutes, at home on the own device: reads of its papers."""
    tenant = scene.tenant()
    gap = MINUTE_US / scene.rng.uniform(2, 6)
    size = int(scene.minutes(20, 50) / gap)
    rows = scene.rows(scene.spaced(start, gap, size, 0.5), tenant, [0])
    as_people(scene, rows, np.full(size, scene.regular(tenant)))
    papers = op.calls("/v1/payment-methods", "/v1/addresses", "/v1/invoices/{id}")
    rows["operation"] = scene.rng.choice([*op.OWN_READS, *papers, *op.EXPORTS * 2], size)
    rows["result"][scene.rng.random(size) < 0.05] = op.FORBIDDEN
    rows["session"] = rows["session"][0]
    return scene.attack("mix_turn", rows, "ip", "user")


KIND = Kind("mix_turn", _draw, ("behaviour",))
