"""An endpoint that suddenly fails for everybody, or for those with one version of the app."""

import numpy as np

from models.simulation import operations as op
from models.simulation.attacks.attack import SESSIONS, Attack, Kind, Scene, as_people
from models.simulation.population import MOBILE_AGENTS
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """45 to 100 calls a minute for 6 to 12 minutes, people trying again; 80 to 97 % fail. Below any limit for traffic.

    A busier run has more of them: its own ordinary calls must not hide the failing ones.
    """
    tenant = scene.tenant()
    ordinary = scene.events * scene.rhythm.rate(start) * 0.03
    minutes = scene.rng.uniform(6, 12)
    size = int((scene.rng.uniform(45, 100) + 2 * ordinary) * minutes)
    people = scene.rng.choice(scene.people.accounts(tenant), max(size // 3, 1))
    rows = scene.rows(scene.scattered(start, int(minutes * MINUTE_US), size), tenant, [0])
    as_people(scene, rows, scene.rng.choice(people, size))
    rows["session"] = SESSIONS + rows["user"].astype(np.int64)
    rows["operation"] = scene.rng.choice(op.READS[:12])
    failure = (op.SERVER_ERROR, op.UNAVAILABLE, op.BAD_REQUEST)[scene.between(0, 2)]
    failing = scene.rng.random(size) < scene.rng.uniform(0.8, 0.97)
    rows["result"] = np.where(failing, failure, op.SUCCESS)
    if failure == op.BAD_REQUEST:
        rows["agent"] = scene.between(MOBILE_AGENTS.start, MOBILE_AGENTS.stop - 1)
        rows["device"] += 1
    return scene.attack("error_surge", rows, "endpoint")


KIND = Kind("error_surge", _draw, ("error_surge", "server_errors"))
