"""A source that begins to send what no event is."""

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene


def _draw(scene: Scene, start: int) -> Attack:
    """150 to 500 lines within 5 minutes: cut in the middle, without a time, with a bad one, or no JSON at all."""
    tenant = scene.tenant()
    times = scene.scattered(start, scene.minutes(2, 5), scene.between(150, 500))
    rows = scene.rows(times, tenant, scene.hosted())
    rows["user"] = scene.victims(tenant, 1)[0]
    rows["operation"] = op.TOKEN_REFRESH
    rows["wording"] = op.BROKEN
    return scene.attack("dead_letter_surge", rows)


KIND = Kind("dead_letter_surge", _draw, ("dead_letter_surge",))
