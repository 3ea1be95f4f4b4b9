"""Many accounts deleted by one administrator or with one stolen key (T1531)."""

from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Kind, Scene


def _draw(scene: Scene, start: int) -> Attack:
    """8 to 60 accounts within 8 minutes."""
    tenant = scene.tenant()
    users = scene.victims(tenant, scene.between(8, 60))
    source = scene.hosted()
    actor = -1
    if scene.turn % 2 == 0:
        admins = scene.people.admins[scene.people.tenant[scene.people.admins] == tenant]
        actor = int(scene.rng.choice(admins))
        if scene.rng.random() < 0.5:
            source = [int(scene.people.office[actor])]
    rows = scene.rows(scene.scattered(start, scene.minutes(1.5, 8), len(users)), tenant, source)
    rows["operation"] = op.ADMIN_DELETE
    rows["wording"] = op.KEYED if actor < 0 else op.ADMINISTRATIVE
    rows["user"] = actor
    rows["target"] = users
    rows["session"] = rows["session"][0]
    return scene.attack("deletion_surge", rows, "ip", "user")


KIND = Kind("deletion_surge", _draw, ("deletion_surge",))
