"""What may be wrong with the list of detectors, and what it means to the rest of a configuration."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from models import rules
from models.detectors.ewma import EwmaParams
from models.detectors.reservoir_ensemble import ReservoirEnsembleParams
from models.detectors.return_levels import ReturnLevelsParams
from models.rules.behaviour_anomaly import ENSEMBLE_DEFAULTS, BehaviourAnomaly, of_ensemble
from models.rules.level_anomaly import LevelAnomaly
from models.rules.mix_anomaly import MixAnomaly
from models.windows.behaviour_scores import BehaviourParams

Detector = EwmaParams | ReturnLevelsParams | BehaviourParams
"""Every detector."""

DEFAULT_DETECTORS: tuple[Detector, ...] = (
    EwmaParams(),
    ReturnLevelsParams(),
    ReservoirEnsembleParams(id="mix", over="tenants"),
)
"""Rates; of whole tenants what `lapwing score` calls default, for their series and for what their minutes are made of.

Behaviour costs half as much again, and is learned by those who ask for it."""

BEHAVING: Final = ("ip", "endpoint", "user")
"""The dimensions whose entities behave; a tenant is many, and two together are too few."""
_OF_BEHAVIOUR: Final = ("half_space_trees", "reservoir_ensemble")


def detector_faults(rows: Sequence[object], path: str) -> list[str]:
    """Too many of a type, or none of one that must be there; `rows` as they are written."""
    given = [row for row in rows if isinstance(row, Mapping)]
    kinds = ["mix" if row.get("over") == "tenants" else row.get("type") for row in given]
    faults = []
    for types, name, least in (
        (("ewma",), "ewma", 1),
        (("return_levels",), "return_levels", 0),
        (("mix",), 'reservoir_ensemble with over = "tenants"', 0),
        (_OF_BEHAVIOUR, " or ".join(_OF_BEHAVIOUR), 0),
    ):
        if not least <= (count := sum(kind in types for kind in kinds)) <= 1:
            wanted = "one detector" if least else "at most one detector"
            faults.append(f"Expected {wanted} of type {name}, got {count} - at {path}")
    return faults


def behaviour_of(detectors: Sequence[Detector], dimension: str) -> BehaviourParams | None:
    """The detector that learns how the entities of a dimension behave, if there is one.

    >>> both = [EwmaParams(), ReservoirEnsembleParams()]
    >>> behaviour_of(both, "user") == both[1], behaviour_of(both, "tenant"), behaviour_of(both[:1], "user")
    (True, None, None)
    """
    found = (row for row in detectors if isinstance(row, BehaviourParams) and row is not mix_of(detectors))
    return next(found, None) if dimension in BEHAVING else None


def levels_of(detectors: Sequence[Detector]) -> ReturnLevelsParams | None:
    """The detector that learns the levels of tenants' series, if there is one.

    >>> levels_of(DEFAULT_DETECTORS) == ReturnLevelsParams(), levels_of([EwmaParams()])
    (True, None)
    """
    return next((row for row in detectors if isinstance(row, ReturnLevelsParams)), None)


def mix_of(detectors: Sequence[Detector]) -> ReservoirEnsembleParams | None:
    """The detector that learns what tenants' minutes are made of, if there is one.

    >>> mix_of(DEFAULT_DETECTORS) == DEFAULT_DETECTORS[2], mix_of([ReservoirEnsembleParams()])
    (True, None)
    """
    tables = (row for row in detectors if isinstance(row, ReservoirEnsembleParams))
    return next((row for row in tables if row.over == "tenants"), None)


def kind_of(detector: Detector) -> str:
    """The name of its type.

    >>> kind_of(EwmaParams())
    'ewma'
    """
    return str(detector.__struct_config__.tag)


def accept_after(params: BehaviourParams) -> str:
    """How long all of an entity's minutes are refused before they teach what is usual for it."""
    return params.entity_accept_after if isinstance(params, ReservoirEnsembleParams) else params.accept_after


def learns_behaviour(detectors: Sequence[Detector]) -> bool:
    """Whether some detector learns how entities behave."""
    return any(behaviour_of(detectors, dimension) for dimension in BEHAVING)


def default_detections(detectors: Sequence[Detector]) -> tuple[rules.Rule, ...]:
    """The default detections, without those that read a detector which is not there.

    >>> len(default_detections([EwmaParams()])) < len(default_detections([EwmaParams(), ReservoirEnsembleParams()]))
    True
    """
    found = rules.default_rules()
    if levels_of(detectors) is None:
        found = tuple(rule for rule in found if not isinstance(rule, LevelAnomaly))
    if mix_of(detectors) is None:
        found = tuple(rule for rule in found if not isinstance(rule, MixAnomaly))
    if learns_behaviour(detectors) and not _has_ensemble(detectors):
        return found
    found = tuple(rule for rule in found if not isinstance(rule, BehaviourAnomaly))
    return found + ENSEMBLE_DEFAULTS if _has_ensemble(detectors) else found


def scaled(detectors: Sequence[Detector], detections: Sequence[rules.Rule]) -> tuple[rules.Rule, ...]:
    """Detections with a score on the scale of the detector that they read, where they name none."""
    if not _has_ensemble(detectors):
        return tuple(detections)
    return tuple(of_ensemble(rule) if isinstance(rule, BehaviourAnomaly) else rule for rule in detections)


def unread_faults(detectors: Sequence[Detector], detections: Sequence[rules.Rule]) -> list[str]:
    """Detections that read a detector which is not there, or ask for a score that it never gives."""
    faults = []
    for kind, detector, wanted in (
        (LevelAnomaly, levels_of(detectors), "return_levels"),
        (MixAnomaly, mix_of(detectors), 'reservoir_ensemble with over = "tenants"'),
    ):
        lonely = [at for at, rule in enumerate(detections) if isinstance(rule, kind) and detector is None]
        faults += [f"Expected a [[detector]] of type {wanted} for it - at $.detection[{at}].type" for at in lonely]
    read = [(at, rule) for at, rule in enumerate(detections) if isinstance(rule, BehaviourAnomaly)]
    return faults + _unread_behaviour(detectors, read)


def _unread_behaviour(detectors: Sequence[Detector], read: Sequence[tuple[int, BehaviourAnomaly]]) -> list[str]:
    if not learns_behaviour(detectors):
        wanted = f"Expected a [[detector]] of type {' or '.join(_OF_BEHAVIOUR)} for it"
        return [f"{wanted} - at $.detection[{at}].type" for at, _ in read]
    if _has_ensemble(detectors):
        return []
    wanted = "Expected less than 1, the most that half_space_trees gives"
    return [f"{wanted} - at $.detection[{at}].score" for at, rule in read if rule.score >= 1.0]


def _has_ensemble(detectors: Sequence[Detector]) -> bool:
    return any(isinstance(row, ReservoirEnsembleParams) and row.over == "behaviour" for row in detectors)


def learned_shape(detector: Detector) -> str:
    """The parameters that give what a detector has learned its meaning.

    >>> learned_shape(EwmaParams())
    'ewma alpha=0.01 half_life=7d'
    """
    if isinstance(detector, EwmaParams):
        return f"ewma alpha={detector.alpha} half_life={detector.half_life}"
    if isinstance(detector, ReturnLevelsParams):
        given = msgspec.structs.asdict(detector)
        return " ".join(["return_levels", *(f"{name}={value}" for name, value in given.items() if name != "id")])
    ensemble = isinstance(detector, ReservoirEnsembleParams)
    names = ("kept", "among", "trees", "sample", "trim") if ensemble else ("trees", "height", "window")
    shape = " ".join(f"{name}={getattr(detector, name)}" for name in (*names, "seed", "half_life"))
    return f"{kind_of(detector)} {shape}"
