"""Many passwords for one account or a few, from one address (T1110.001)."""

import numpy as np
from numpy.typing import NDArray

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene


def _draw(scene: Scene, start: int) -> Attack:
    tenant = scene.tenant()
    source = scene.hosted()
    users = scene.victims(tenant, 1)
    size = scene.between(15, 80)
    if scene.turn % 2:
        users, size = scene.victims(tenant, scene.between(2, 4)), scene.between(30, 80)
    elif scene.rng.random() < 0.4:
        # A crowd's address hides nobody's own account
        crowd = scene.people.offices if scene.rng.random() < 0.5 else scene.people.carriers
        source = [int(scene.rng.choice(crowd))]
    rows = scene.rows(scene.scattered(start, scene.minutes(3, 9), size), tenant, source)
    guess(scene, rows, users)
    return scene.attack("brute_force", rows, "ip", "user")


def guess(scene: Scene, rows: NDArray[np.void], users: NDArray[np.int64]) -> None:
    """Sign-ins for the accounts in turn that fail; halfway accounts begin to be locked; some end in a success."""
    size = len(rows)
    rows["user"] = users[np.arange(size) % len(users)]
    rows["operation"] = op.LOGIN
    rows["result"] = op.BAD_CREDENTIALS
    rows["result"][size // 2 :] = np.where(scene.rng.random(size - size // 2) < 0.3, op.LOCKED, op.BAD_CREDENTIALS)
    if scene.rng.random() < 0.3:
        rows["result"][-1] = op.SUCCESS


KIND = Kind("brute_force", _draw, ("brute_force",))
