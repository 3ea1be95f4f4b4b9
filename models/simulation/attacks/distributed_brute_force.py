"""Many passwords for one account from many addresses, few from each (T1110.001)."""

from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.attacks.brute_force import guess


def _draw(scene: Scene, start: int) -> Attack:
    """At least 10 addresses and 30 attempts in 25 minutes; none makes more than 4, so that no limit for one sees it."""
    tenant = scene.tenant()
    sources = scene.newcomers.bots(scene.between(10, 30))
    size = max(int(len(sources) * scene.rng.uniform(2, 4)), 30)
    rows = scene.rows(scene.scattered(start, scene.minutes(3, 25), size), tenant, sources, agents=4)
    guess(scene, rows, scene.victims(tenant, 1))
    return scene.attack("distributed_brute_force", rows, "ip", "user")


KIND = Kind("distributed_brute_force", _draw, ("distributed_brute_force",))
