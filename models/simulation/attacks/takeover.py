"""An attack on passwords that finds one, and what its owner then loses (T1110, T1078.004, T1098, T1530)."""

import numpy as np
from numpy.typing import NDArray

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.attacks.password_spray import spray
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """A spray, brute force or distributed brute force; then a success for an account of it, mail, data."""
    tenant = scene.tenant()
    form = scene.turn % 3
    length = scene.minutes(4, 9)
    if form == 0:
        users, sources = scene.victims(tenant, scene.between(20, 60)), scene.hosted()
        size = 2 * len(users)
    else:
        users = scene.victims(tenant, 1)
        sources = scene.hosted() if form == 1 else scene.newcomers.bots(scene.between(10, 24))
        size = max(scene.between(24, 60), 2 * len(sources))
    before = scene.rows(scene.scattered(start, length, size), tenant, sources)
    spray(scene, before, users, hit=0.0)
    if form:
        before["result"], before["wording"] = op.BAD_CREDENTIALS, op.PLAIN
    real = users[np.flatnonzero(users % 10)] if form == 0 else users
    after = _inside(scene, start + length + scene.minutes(0.3, 4), tenant, sources, int(scene.rng.choice(real)))
    return scene.attack("takeover", np.concatenate([before, after]), "ip", "user")


def _inside(scene: Scene, start: int, tenant: int, sources: list[int], user: int) -> NDArray[np.void]:
    """One session of the account, from one of the attack's addresses or a new one: 10 to 30 calls in some minutes."""
    source = int(scene.rng.choice(sources)) if scene.rng.random() < 0.6 else scene.newcomers.hosted()
    asked = scene.rng.random() < 0.4
    calls = [op.LOGIN, *([op.MFA] if asked else []), op.TOKEN_ISSUE, op.EMAIL_CHANGE]
    if scene.rng.random() < 0.6:
        calls.append(op.PASSWORD_CHANGE)
    calls += scene.rng.choice(op.OWN_READS, scene.between(2, 8)).tolist()
    calls += [op.EXPORTS[0]] * scene.between(4, 14)
    rows = scene.rows(scene.spaced(start, MINUTE_US / 4, len(calls), 0.5), tenant, [source])
    rows["user"] = user
    rows["operation"] = calls
    rows["wording"][np.array(calls) == op.EMAIL_CHANGE] = op.CHANGING
    rows["result"][0] = op.CHALLENGE if asked else op.SUCCESS
    rows["session"] = rows["session"][0]
    return rows


KIND = Kind("takeover", _draw, ("takeover", "success_after_attack"))
