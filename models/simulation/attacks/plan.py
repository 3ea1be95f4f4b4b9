"""Which attacks a run has and when: drawn first, so that a run's size is exact."""

from collections.abc import Sequence
from typing import Final

from models.simulation.attacks import (
    brute_force,
    credential_stuffing,
    dead_letter_surge,
    deletion_surge,
    distributed_brute_force,
    distributed_spray,
    endpoint_pattern,
    error_surge,
    mix_turn,
    night_reads,
    password_spray,
    reset_surge,
    scraper,
    slow_spray,
    takeover,
    traffic_spike,
)
from models.simulation.attacks.attack import Attack, Kind, Scene
from models.simulation.rhythm import HOUR_US, MINUTE_US

KINDS: Final = {
    kind.name: kind
    for kind in (
        brute_force.KIND,
        password_spray.KIND,
        deletion_surge.KIND,
        traffic_spike.KIND,
        credential_stuffing.KIND,
        distributed_brute_force.KIND,
        takeover.KIND,
        reset_surge.KIND,
        scraper.KIND,
        distributed_spray.KIND,
        mix_turn.KIND,
        error_surge.KIND,
        slow_spray.KIND,
        endpoint_pattern.KIND,
        dead_letter_surge.KIND,
        night_reads.KIND,
    )
}
"""Every kind by its name, in the order in which a longer run gets more of them."""

WELL_FORMED: Final = tuple(name for name in KINDS if name != dead_letter_surge.KIND.name)
"""The kinds that consist of events."""

_SHARE: Final = 0.15
_TRIES: Final = 3


def plan(
    scene: Scene, kinds: Sequence[str] = tuple(KINDS), count: int | None = None, every: int | None = None
) -> list[Attack]:
    """The attacks of a run by time, the kinds taking turns; `every` is microseconds, and gives the count.

    Without a count one in 10,000 events, at least 4, at most one in 3 minutes or 200. They stay out of the first
    quarter (floods out of the first 45 %, or 9 hours), in which baselines are learned, end before the run does, begin
    at least two minutes apart where there is room, and take at most 15 % of the events: what does not fit is left out.
    """
    first, last = int(scene.rhythm.edges[0]), int(scene.rhythm.edges[-1])
    quarter = first + (last - first) // 4
    if every is not None:
        count = max((last - quarter) // every, 1)
    elif count is None:
        count = int(min(max(scene.events / 10_000, 4), max((last - first) / MINUTE_US / 3, 4), 200))
    learned = max(quarter, first + min(int((last - first) * 0.45), 9 * HOUR_US))
    budget = int(scene.events * _SHARE)
    attacks: list[Attack] = []
    for number in range(count if kinds else 0):
        kind = KINDS[kinds[number % len(kinds)]]
        scene.turn = number // len(kinds)
        attack = _drawn(scene, kind, learned if kind.learned else quarter, last, budget)
        if attack is not None:
            attacks.append(attack)
            budget -= len(attack.rows)
    attacks = _apart(sorted(attacks, key=lambda attack: attack.start), last)
    for number, attack in enumerate(attacks):
        attack.rows["attack"] = number
    return attacks


def _drawn(scene: Scene, kind: Kind, earliest: int, last: int, budget: int) -> Attack | None:
    for _ in range(_TRIES):
        start = int(scene.rng.integers(earliest, last)) // 1000 * 1000
        attack = kind.draw(scene, start)
        if attack is None or len(attack.rows) > budget:
            continue
        early = max(attack.end - last, 0)
        if attack.start - early >= earliest:
            return attack.moved(-(-(-early // 1000) * 1000)) if early else attack
    return None


def _apart(attacks: list[Attack], last: int) -> list[Attack]:
    out: list[Attack] = []
    for attack in attacks:
        wait = out[-1].start + 2 * MINUTE_US - attack.start if out else 0
        out.append(attack.moved(wait) if wait > 0 and attack.end + wait <= last else attack)
    return sorted(out, key=lambda attack: attack.start)
