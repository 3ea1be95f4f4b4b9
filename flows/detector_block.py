"""What may be wrong with the list of detectors, and what it means to the rest of a configuration."""

from collections.abc import Mapping, Sequence
from typing import Final

from models import rules
from models.detectors.ewma import EwmaParams
from models.detectors.half_space_trees import HalfSpaceTreesParams
from models.rules.behaviour_anomaly import BehaviourAnomaly

Detector = EwmaParams | HalfSpaceTreesParams
"""Every detector."""

DEFAULT_DETECTORS: tuple[Detector, ...] = (EwmaParams(),)
"""Rates and levels. Behaviour costs half as much again, and is learned by those who ask for it."""


BEHAVING: Final = ("ip", "endpoint", "user")
"""The dimensions whose entities behave; a tenant is many, and two together are too few."""


def detector_faults(rows: Sequence[object], path: str) -> list[str]:
    """Too many of a type, or none of one that must be there; `rows` as they are written."""
    kinds = [row.get("type") for row in rows if isinstance(row, Mapping)]
    faults = []
    for kind, wanted, least in (("ewma", "one detector", 1), ("half_space_trees", "at most one detector", 0)):
        if not least <= (count := kinds.count(kind)) <= 1:
            faults.append(f"Expected {wanted} of type {kind}, got {count} - at {path}")
    return faults


def behaviour_of(detectors: Sequence[Detector], dimension: str) -> HalfSpaceTreesParams | None:
    """The detector that learns how the entities of a dimension behave, if there is one.

    >>> both = [EwmaParams(), HalfSpaceTreesParams()]
    >>> behaviour_of(both, "user") == both[1], behaviour_of(both, "tenant"), behaviour_of(both[:1], "user")
    (True, None, None)
    """
    found = (row for row in detectors if isinstance(row, HalfSpaceTreesParams))
    return next(found, None) if dimension in BEHAVING else None


def learns_behaviour(detectors: Sequence[Detector]) -> bool:
    """Whether some detector learns how entities behave."""
    return any(behaviour_of(detectors, dimension) for dimension in BEHAVING)


def default_detections(detectors: Sequence[Detector]) -> tuple[rules.Rule, ...]:
    """The default detections, without those that read a detector which is not there.

    >>> len(default_detections([EwmaParams()])) < len(default_detections([EwmaParams(), HalfSpaceTreesParams()]))
    True
    """
    found = rules.default_rules()
    return found if learns_behaviour(detectors) else tuple(r for r in found if not isinstance(r, BehaviourAnomaly))


def unread_faults(detectors: Sequence[Detector], detections: Sequence[rules.Rule]) -> list[str]:
    """Detections that read a detector which is not there."""
    return [] if learns_behaviour(detectors) else [
        f"Expected a [[detector]] of type half_space_trees for it - at $.detection[{at}].type"
        for at, rule in enumerate(detections)
        if isinstance(rule, BehaviourAnomaly)
    ]  # fmt: skip


def learned_shape(detector: Detector) -> str:
    """The parameters that give what a detector has learned its meaning.

    >>> learned_shape(EwmaParams())
    'ewma alpha=0.01 half_life=7d'
    """
    if isinstance(detector, EwmaParams):
        return f"ewma alpha={detector.alpha} half_life={detector.half_life}"
    shape = " ".join(f"{name}={getattr(detector, name)}" for name in ("trees", "height", "window", "seed"))
    return f"half_space_trees {shape} half_life={detector.half_life}"
