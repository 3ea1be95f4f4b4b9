"""An entity behaves in a way that neither it nor the others have."""

from typing import Annotated, Literal

import msgspec

from models.rules.base import LEARNING, About, Attack, Mode

ABOUT = About(
    title="Unusual behaviour",
    measure="score",
    attacks=(
        Attack("TA0001", "Initial Access", "T1078", "Valid Accounts", "T1078.004", "Cloud Accounts"),
        Attack("TA0009", "Collection", "T1213", "Data from Information Repositories"),
    ),
    remediation=(
        "1. Look at what made it strange: each reason names a feature, what it was and what is typical. 2. Ask the "
        "account's owner, or whoever runs the address or endpoint; end its sessions if nobody knows. 3. If a release "
        "or a new program explains it, it is learned within hours; until then add an exception with an expiry."
    ),
    analytic_type=LEARNING,
    confidence=50,
)
SCORE = {"ip": 0.97, "user": 0.97, "endpoint": 0.99}
ENSEMBLE_SCORE = 20.0
MOST_WINDOWS = 8


class BehaviourAnomaly(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="behaviour_anomaly"):
    """At least `hits` strange minutes of the last `windows`, with `at_least` events in them.

    A minute is strange if its quantile among closed windows is at least `quantile` and its score at least `score`. It
    needs a detector of behaviour, whose scale `score` is on: `half_space_trees` from 0 to 1 (0 here: 0.97 for addresses
    and users, 0.99 for endpoints), `reservoir_ensemble` from 0, where 1 is usual (0 here: 20). It is never above
    medium by itself.

    When it fails: before the detector is warm nothing is strange; one strange minute alone, however strange, opens
    nothing; a program that behaves like its neighbours is not seen, and a slow change is learned.
    """

    id: str = ""
    dimension: Literal["ip", "user", "endpoint"] = "user"
    hits: Annotated[int, msgspec.Meta(ge=2, le=MOST_WINDOWS)] = 3
    windows: Annotated[int, msgspec.Meta(ge=2, le=MOST_WINDOWS)] = 5
    quantile: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.999
    score: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    at_least: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 8
    severity: Literal["low", "medium"] = "medium"
    mode: Mode = "live"
    quiet: str = "30m"

    @property
    def least_score(self) -> float:
        """The score from which a minute is strange.

        >>> BehaviourAnomaly(dimension="endpoint").least_score, BehaviourAnomaly(score=0.9).least_score
        (0.99, 0.9)
        """
        return self.score or SCORE[self.dimension]


def faults(rule: BehaviourAnomaly, path: str) -> list[str]:
    """What is wrong with a detection beside the types of its values, one line a fault."""
    if rule.hits > rule.windows:
        return [f"Expected at most windows ({rule.windows}), got {rule.hits} - at {path}.hits"]
    return []


def of_ensemble(rule: BehaviourAnomaly) -> BehaviourAnomaly:
    """A rule that reads a `reservoir_ensemble`, with a score of that scale if it names none.

    >>> of_ensemble(BehaviourAnomaly()).score, of_ensemble(BehaviourAnomaly(score=9.0)).score
    (20.0, 9.0)
    """
    return msgspec.structs.replace(rule, score=rule.score or ENSEMBLE_SCORE)


ENSEMBLE_DEFAULTS: tuple[BehaviourAnomaly, ...] = (
    BehaviourAnomaly(id="behaviour_anomaly_ip", dimension="ip", quantile=0.995),
    BehaviourAnomaly(id="behaviour_anomaly_user", dimension="user", hits=5, windows=8, quantile=0.995),
    # Of some hundred endpoints some are always strange: at 0.995 most of its incidents were false.
    BehaviourAnomaly(id="behaviour_anomaly_endpoint", dimension="endpoint", hits=5, windows=8),
)
"""The default detections where an ensemble learns behaviour."""
