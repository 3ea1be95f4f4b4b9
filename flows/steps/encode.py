"""`encode`: results become the bytes that leave."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.config import Config
from flows.durations import microseconds
from flows.formats import dead_letter, ocsf, scored
from flows.formats.actions import ActionLimits, action
from flows.steps.gather import Gathered
from models.alert import Alert
from models.event import ScoredBatch
from models.exceptions import network
from models.rules import Rule, about

NO_BYTES = np.empty(0, np.uint8)


@dataclass(slots=True, frozen=True)
class Payload:
    """Whole lines for a sink; none in a heartbeat."""

    payload: bytes | NDArray[np.uint8]


@dataclass(slots=True, frozen=True)
class AlertLines:
    """Alerts as OCSF lines for a sink, made when they are asked for: by whoever writes them. `at` is epoch ms."""

    alerts: list[Alert]
    rules: Mapping[str, Rule]
    version: str
    at: int

    @property
    def payload(self) -> bytes:
        """One line for every alert; none in a heartbeat. Costs some 100 us each time for each of them."""
        return b"".join(
            ocsf.encode_alert(
                alert, about(self.rules[alert.detection]), self.rules[alert.detection], self.at, self.version
            )
            + b"\n"
            for alert in self.alerts
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """To a writer in another process go the lines."""
        return Payload, (self.payload,)


@dataclass(slots=True)
class ScoredLines:
    """The scored events of a batch as lines for a sink, made when they are asked for: by whoever writes them."""

    batch: ScoredBatch
    packed: bytes | None = None

    @property
    def payload(self) -> NDArray[np.uint8]:
        """One line for every row; none in a heartbeat. Costs some 400 ns each time for each of them."""
        return scored.encode(self.batch)[0] if len(self.batch.batch) else NO_BYTES

    def __reduce__(self) -> tuple[Any, ...]:
        """To a writer in another process go the lines: they are less than what they are made of."""
        # The engine pickles everything twice, once to know its length.
        self.packed = self.packed if self.packed is not None else self.payload.tobytes()
        return Payload, (self.packed,)


def encode_scored(gathered: Gathered) -> ScoredLines:
    """The scored events of a batch."""
    return ScoredLines(gathered.scored)


def encode_dead(gathered: Gathered, topic: str, body: dead_letter.Body) -> Payload:
    """The dead letters that came with a batch."""
    return Payload(b"".join(dead_letter.encode(d, topic, body) + b"\n" for d in gathered.scored.batch.dead))


def encode_alerts(
    alerts: list[Alert],
    rules: Mapping[str, Rule],
    version: str,
    suppressed: bool = False,
    clock: Callable[[], float] = time.time,
) -> AlertLines:
    """The alerts that are told or those `suppressed`, as OCSF lines; `rules` by detection id."""
    chosen = [alert for alert in alerts if bool(alert.suppressed_by) is suppressed]
    return AlertLines(chosen, rules, version, int(clock() * 1000))


def action_limits(config: Config) -> ActionLimits:
    """What a configuration says of block candidates."""
    output = config.output
    never = tuple(network(text) for text in output.never_block)
    return ActionLimits(microseconds(output.block_ttl) // 1_000_000, output.block_inner, never)


def encode_actions(alerts: list[Alert], rules: Mapping[str, Rule], limits: ActionLimits) -> Payload:
    """What Lapwing proposes to do about the incidents of which something is told."""
    found = (action(alert, about(rules[alert.detection]), limits) for alert in alerts)
    return Payload(b"".join(one + b"\n" for one in found if one is not None))
