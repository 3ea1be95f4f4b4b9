"""What the last run with a state asked of its detectors, beside the state: for people who read what was learned."""

from pathlib import Path
from typing import Final

import msgspec

from flows import durable
from flows.config import Config
from flows.detector_block import BEHAVING, kind_of, mix_of
from flows.errors import OutputError, Refused
from models import rules
from models.base import DIMENSIONS
from models.detectors.ewma import EwmaParams
from models.detectors.return_levels import ReturnLevelsParams
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.level_anomaly import LevelAnomaly
from models.rules.mix_anomaly import MixAnomaly
from models.rules.traffic_spike import TrafficSpike

_NAME: Final = "asked.json"


class Detector(msgspec.Struct, frozen=True):
    """A detector: the dimensions that it learns, and the windows after which a shard, and an entity, is warm.

    `entity_warm_up` is 0 where an entity is not judged by a baseline of its own.
    """

    id: str
    type: str
    dimensions: tuple[str, ...]
    warm_up: int
    entity_warm_up: int


class Detection(msgspec.Struct, frozen=True):
    """A detection: whose events it watches, and the detector that it reads, "" for none."""

    id: str
    dimension: str
    reads: str


class Asked(msgspec.Struct, frozen=True):
    """All of both."""

    detectors: tuple[Detector, ...]
    detections: tuple[Detection, ...]


def asked(config: Config) -> Asked:
    """What a configuration asks.

    >>> from flows.config import load
    >>> found = asked(load())
    >>> found.detectors[0].id, [one.dimension for one in found.detections if one.reads == "rates"]
    ('rates', ['tenant', 'endpoint', 'ip'])
    """
    detectors: list[Detector] = []
    readers: dict[object, str] = {}
    for row in config.detector:
        kind = kind_of(row)
        if isinstance(row, EwmaParams):
            detectors.append(Detector(row.id, kind, DIMENSIONS, row.warm_up, row.entity_warm_up))
            readers[TrafficSpike] = row.id
        elif isinstance(row, ReturnLevelsParams):
            detectors.append(Detector(row.id, kind, ("tenant",), row.warm_up, 0))
            readers[LevelAnomaly] = row.id
        elif row is mix_of(config.detector):
            detectors.append(Detector(row.id, kind, ("tenant",), row.warm_up, 0))
            readers[MixAnomaly] = row.id
        else:
            detectors.append(Detector(row.id, kind, BEHAVING, row.warm_up, 0))
            readers[BehaviourAnomaly] = row.id
    detections = (Detection(rule.id, rules.dimension(rule), readers.get(type(rule), "")) for rule in config.detection)
    return Asked(tuple(detectors), tuple(detections))


def write_asked(root: Path, config: Config) -> None:
    """Keep it beside a state, durably.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        durable.write(root / _NAME, msgspec.json.format(msgspec.json.encode(asked(config)), indent=1) + b"\n")
    except OSError as error:
        raise durable.cannot_write(root / _NAME, error) from None


def read_asked(root: Path) -> Asked | None:
    """What the last run asked; None where a version wrote the state that did not say so.

    Raises
    ------
    LapwingError
        It cannot be read.
    """
    path = root / _NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Asked)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        raise Refused(f"{path}: is damaged; give --config, or wait for the next run, which writes it anew") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror})") from None
