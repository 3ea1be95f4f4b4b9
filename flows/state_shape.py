"""What the configuration says of saved state: what it was made for, and how large its tables are."""

from typing import Final

from flows import durations
from flows.config import PANES, Config
from flows.detector_block import behaviour_of, learned_shape
from models import rules
from models.base import SNAPSHOT, WATCHED
from models.detectors.ewma import EwmaParams

DETECTOR: Final = "detector "
"""What the keys of an identity begin with that say what one detector learns."""
TABLE_SHARE: Final = dict.fromkeys(WATCHED, 32 / 64) | {"tenant": 1 / 64, "ip": 28 / 64, "endpoint": 3 / 64}
"""How the limits of records and rings are divided over the dimensions that are watched."""

_MOST_HOURS: Final = 2048


def state_identity(config: Config, output: str = "") -> dict[str, str]:
    """What a state directory was made for; with any other, its content would be misread.

    `output` is where a run writes to: the partitions of a sink over topics are part of what is saved.

    Thresholds, severities and texts are not in it: they may change between runs. What is in it, and why: the layout of
    tables and rings (dimensions, shards, sizes, panes and the time they must span), who an entity is, and the
    parameters that give a learned number its meaning. Another `input.format` is refused, because it says who an entity
    is. What a `[[format]]` block declares, and its topics, may change between runs: a place in the input is a message
    and an event's number in it, whatever the mapping, and the events that are kept as evidence are canonical.
    """
    identity = {
        "layout": str(SNAPSHOT),
        "dimensions": " ".join(rules.watched(config.detection)),
        "panes": " ".join(f"{window}/{pane}" for window, pane in PANES.items()),
        "state.shards": str(config.state.shards),
        "state.max_entities": str(config.state.max_entities),
        "state.max_active": str(config.state.max_active),
        "input.format": config.input.format,
        "input.ipv6_prefix": str(config.input.ipv6_prefix),
    }
    for key in ("lateness", "max_skew", "max_future"):
        identity[f"time.{key}"] = durations.spell(durations.microseconds(getattr(config.time, key)))
    for detector in config.detector:
        identity[f"{DETECTOR}{detector.id}"] = learned_shape(detector)
    if output == "kafka":
        identity["kafka.sinks"] = str(config.kafka.sinks)
    return identity


def learned_by(config: Config, dimension: str) -> tuple[str, str]:
    """What learns the rates, and what the behaviour, of the entities of a dimension; "" for nothing.

    >>> from flows.config import load
    >>> learned_by(load(), "user")
    ('rates ewma alpha=0.01 half_life=7d', '')
    """
    rates = next(row for row in config.detector if isinstance(row, EwmaParams))
    behaviour = behaviour_of(config.detector, dimension)
    if behaviour is None:
        return f"{rates.id} {learned_shape(rates)}", ""
    return f"{rates.id} {learned_shape(rates)}", f"{behaviour.id} {learned_shape(behaviour)}"


def table_limits(config: Config, dimension: str) -> tuple[int, int]:
    """The most records and rings of one shard of a dimension: its share of `max_entities` and `max_active`.

    >>> from flows.config import load
    >>> table_limits(load(), "user")
    (125000, 12500)
    """
    few = ("tenant", "endpoint")  # they keep their share: the others divide what is left
    many = sum(TABLE_SHARE[name] for name in rules.watched(config.detection) if name not in few)
    share = TABLE_SHARE[dimension] * (1 if dimension in few else 60 / 64 / many) / config.state.shards
    return max(1024, int(config.state.max_entities * share)), max(64, int(config.state.max_active * share))


def most_hours(config: Config, dimension: str) -> int:
    """The most entities of one shard whose hours of the week are learned, 3 KB each, taken as they are needed.

    >>> from flows.config import load
    >>> most_hours(load(), "endpoint"), most_hours(load(), "user")
    (2048, 0)
    """
    rates = next(row for row in config.detector if isinstance(row, EwmaParams))
    if not rates.season or dimension not in ("tenant", "endpoint"):
        return 0
    return min(table_limits(config, dimension)[0] // 4, _MOST_HOURS)
