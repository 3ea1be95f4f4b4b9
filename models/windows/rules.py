"""Rules as the columns that kernels read."""

import numpy as np

from models.base import SEVERITIES
from models.kernels.layout import DELETIONS, FAILURES_IP, FAILURES_USER, PANE_US, SPIKE, SPRAY, RuleArrays
from models.rules import Rule
from models.rules.brute_force_ip import BruteForceIp
from models.rules.brute_force_user import BruteForceUser
from models.rules.deletion_surge import DeletionSurge
from models.rules.password_spray_ip import PasswordSprayIp


def _shape(rule: Rule) -> tuple[int, int, int, int, float, float]:
    """Kind, grid (base panes), window (panes of the grid), extra, times, z."""
    match rule:
        case BruteForceUser():
            return FAILURES_USER, 6, 20, 0, 0.0, 0.0
        case BruteForceIp():
            return FAILURES_IP, 6, 20, rule.users_below, 0.0, 0.0
        case PasswordSprayIp():
            return SPRAY, 12, 15, 0, 0.0, 0.0
        case DeletionSurge():
            return DELETIONS, 6, 20, 0, 0.0, 0.0
        case _:
            return SPIKE, 1, 12, rule.panes, rule.times, rule.z


def rule_arrays(rules: tuple[Rule, ...], quiet_us: tuple[int, ...]) -> RuleArrays:
    """The rules of one dimension as columns; `quiet_us` is each rule's `quiet` in microseconds.

    >>> rule_arrays((BruteForceUser(),), (600_000_000,)).quiet
    array([20])
    """
    shapes = [_shape(rule) for rule in rules]
    kind, grid, window, extra, times, z = (list(c) for c in zip(*shapes, strict=True)) if shapes else ([],) * 6
    quiet = [-(-q // (g * PANE_US)) for q, g in zip(quiet_us, grid, strict=True)]
    return RuleArrays(
        kind=np.array(kind, np.int64),
        grid=np.array(grid, np.int64),
        window=np.array(window, np.int64),
        at_least=np.array([r.at_least for r in rules], np.int64),
        extra=np.array(extra, np.int64),
        times=np.array(times, np.float64),
        z=np.array(z, np.float64),
        quiet=np.array(quiet, np.int64),
        severity=np.array([SEVERITIES.index(r.severity) for r in rules], np.int64),
    )
