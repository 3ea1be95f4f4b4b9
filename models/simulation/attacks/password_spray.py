"""A few passwords for many accounts, from one address (T1110.003)."""

import numpy as np
from numpy.typing import NDArray

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene


def _draw(scene: Scene, start: int) -> Attack:
    """At least 20 accounts within 9 minutes, two to four rounds: one machine's, a network's /64, or an office's."""
    tenant = scene.tenant()
    least = 20
    source = scene.hosted()
    if scene.turn % 3 == 1:
        source = scene.newcomers.network(scene.between(5, 39))
    if scene.turn % 3 == 2:
        source, least = [int(scene.rng.choice(scene.people.offices))], 60
    users = scene.victims(tenant, scene.between(least, 160))
    size = len(users) * scene.between(2, 4)
    rows = scene.rows(scene.scattered(start, scene.minutes(4, 9), size), tenant, source)
    spray(scene, rows, users)
    return scene.attack("password_spray", rows, "ip", "user")


def spray(
    scene: Scene, rows: NDArray[np.void], users: NDArray[np.int64], hit: float = 0.004, unknown: int = 10
) -> None:
    """Sign-ins for the accounts in turn, one in `unknown` of which does not exist; a weak password now and then."""
    size = len(rows)
    rows["user"] = users[np.arange(size) % len(users)]
    rows["operation"] = op.LOGIN
    rows["result"] = np.where(scene.rng.random(size) < hit, op.SUCCESS, op.BAD_CREDENTIALS)
    absent = rows["user"] % unknown == 0
    rows["result"][absent] = op.UNKNOWN_USER
    rows["wording"][absent] = op.MISTYPED


KIND = Kind("password_spray", _draw, ("password_spray",))
