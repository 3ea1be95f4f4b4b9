"""An endpoint that is called with methods and answers with outcomes that it never had (T1595)."""

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.rhythm import MINUTE_US


def _draw(scene: Scene, start: int) -> Attack:
    """5 to 14 calls a minute for 12 to 30 minutes from 4 to 12 machines; fewer than 100 errors in 5 minutes."""
    tenant = scene.tenant()
    gap = MINUTE_US / scene.rng.uniform(5, 14)
    size = int(scene.minutes(12, 30) / gap)
    sources = scene.newcomers.bots(scene.between(4, 12))
    rows = scene.rows(scene.spaced(start, gap, size, 0.4), tenant, sources, agents=3)
    path = op.PROBED[scene.between(0, len(op.PROBED) - 1)]
    rows["operation"] = scene.rng.choice(op.UNUSUAL[path], size)
    answers = (op.NO_METHOD, op.NO_CONTENT, op.FORBIDDEN, op.NOT_FOUND, op.BAD_REQUEST)
    rows["result"] = scene.rng.choice(answers, size, p=(0.35, 0.3, 0.15, 0.1, 0.1))
    rows["wording"] = op.ANONYMOUS
    return scene.attack("endpoint_pattern", rows, "ip", "endpoint")


KIND = Kind("endpoint_pattern", _draw, ("behaviour",))
