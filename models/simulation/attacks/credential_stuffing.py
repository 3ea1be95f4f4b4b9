"""A leaked list of names and passwords, one try each, from one address or a few (T1110.004)."""

from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.attacks.password_spray import spray


def _draw(scene: Scene, start: int) -> Attack:
    """At least 60 accounts an address within 12 minutes; half of the names are not there, one in 100 passwords fits."""
    tenant = scene.tenant()
    sources = scene.hosted(scene.between(1, 3) if scene.turn % 2 else 1)
    users = scene.victims(tenant, scene.between(60, 120) * len(sources))
    rows = scene.rows(scene.scattered(start, scene.minutes(4, 12), len(users)), tenant, sources, agents=3)
    spray(scene, rows, users, hit=scene.rng.uniform(0.005, 0.03), unknown=scene.between(2, 4))
    return scene.attack("credential_stuffing", rows, "ip", "user")


KIND = Kind("credential_stuffing", _draw, ("credential_stuffing",))
