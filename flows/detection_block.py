"""What may be wrong with a `[[detection]]`, and the window of each type."""

from typing import Final

from flows.structure import meant, shown
from models import rules
from models.rules import behaviour_anomaly, dead_letter_surge, level_anomaly, mix_anomaly, source_silence
from models.rules.base_detection import BaseDetection
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.dead_letter_surge import DeadLetterSurge
from models.rules.flatten import MAX_MARKS
from models.rules.level_anomaly import LevelAnomaly
from models.rules.mix_anomaly import MixAnomaly
from models.rules.source_silence import SourceSilence
from models.rules.success_after_attack import SuccessAfterAttack
from models.rules.threshold import Threshold, faults

WINDOW_OF: Final = {
    "brute_force_user": "10m",
    "brute_force_ip": "10m",
    "password_spray_ip": "15m",
    "deletion_surge": "10m",
    "traffic_spike": "1m",
    "success_after_attack": "15m",
    "dead_letter_surge": "5m",
    "behaviour_anomaly": "1m",
    "level_anomaly": "1m",
    "mix_anomaly": "1m",
}
"""The window of each rule; an incident cannot be quiet for less."""


def detection_faults(row: object, path: str) -> list[str]:
    """Everything that is wrong with one detection, beside the types of its values; nothing for other kinds."""
    if isinstance(row, Threshold):
        return faults(row, path)
    if isinstance(row, SourceSilence):
        return source_silence.faults(row, path)
    if isinstance(row, DeadLetterSurge):
        return dead_letter_surge.faults(row, path)
    if isinstance(row, LevelAnomaly):
        return level_anomaly.faults(row, path)
    if isinstance(row, MixAnomaly):
        return mix_anomaly.faults(row, path)
    if isinstance(row, BehaviourAnomaly):
        return behaviour_anomaly.faults(row, path)
    if not isinstance(row, BaseDetection):
        return []
    if row.id not in rules.base_ids():
        return [f"Unknown base detection {shown(row.id)}{meant(row.id, rules.base_ids())} - at {path}.id"]
    found = rules.threshold(row)
    return faults(found, path) if found else []


def program_faults(detections: tuple[rules.Rule, ...]) -> list[str]:
    """What only all thresholds together show."""
    try:
        marks = len(rules.program(detections).marks)
    except ValueError as error:
        return [f"{error} - at $.detection"]
    ordered = sum(isinstance(rule, SuccessAfterAttack) for rule in detections)
    if marks + ordered > MAX_MARKS:
        much = f"{marks} different expressions and {ordered} rules on order"
        return [f"{much}, at most {MAX_MARKS} together - at $.detection"]
    return []
