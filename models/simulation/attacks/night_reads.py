"""A program's key that writes by day, and at night begins to read (T1078.004, T1552)."""

import numpy as np

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.bots import DAY_JOB, job, name
from models.simulation.rhythm import DAY_US, HOUR_US, MINUTE_US, TENANT_OFFSETS_US


def _draw(scene: Scene, start: int) -> Attack | None:
    """2 to 4 reads a minute for 50 to 110 minutes from between 23:00 and 03:00, some bot's; without a night None.

    Fewer than 50 accounts in 10 minutes.
    """
    first, last = int(scene.rhythm.edges[0]), int(scene.rhythm.edges[-1])
    nights = [
        (night, bot)
        for bot, tenant in enumerate(scene.people.bot_tenant.tolist())
        if job(bot) == DAY_JOB
        for night in range(first // DAY_US * DAY_US - TENANT_OFFSETS_US[tenant], last, DAY_US)
        if night >= first + (last - first) // 4 and night < last - 2 * HOUR_US
    ]
    if not nights:
        return None
    midnight, bot = nights[scene.between(0, len(nights) - 1)]
    tenant = int(scene.people.bot_tenant[bot])
    gap = MINUTE_US / scene.rng.uniform(2, 4)
    size = int(scene.minutes(50, 110) / gap)
    rows = scene.rows(scene.spaced(midnight + scene.minutes(-60, 180), gap, size, 0.2), tenant, [0])
    session = int(rows["session"][0])
    stolen = scene.hosted() if scene.rng.random() < 0.5 else []
    name(rows, scene.people, bot)
    if stolen:
        rows["ip"] = stolen[0]
    rows["session"] = session
    rows["operation"] = np.where(scene.rng.random(size) < 0.75, op.ACCOUNT_READ, op.EXPORTS[0])
    reading = rows["operation"] == op.ACCOUNT_READ
    rows["wording"][reading] = op.READING
    near = scene.victims(tenant, size)
    rows["target"][reading] = near[np.arange(int(reading.sum())) % len(near)]
    return scene.attack("night_reads", rows, "ip", "user")


KIND = Kind("night_reads", _draw, ("behaviour",))
