"""Kernels say the same as plain Python functions (NUMBA_DISABLE_JIT=1), where coverage and tracebacks work."""

import os
import subprocess
import sys

from flows.durations import microseconds
from models.base import WATCHED
from models.detectors.half_space_trees import HalfSpaceTreesParams
from models.rules import default_rules, of_entities
from models.rules.threshold import Threshold
from models.windows.behaviour import BehaviourSettings
from tests.batches import assess
from tests.naive import Params
from tests.streams import Episode, Setup, disturbed, events
from tests.test_definitions import LATENESS, items_of, message_of, shard_of, windows_of

EPISODES = [
    Episode("regular", 0, 1500, 1, 60),
    Episode("regular", 0, 1500, 2, 30),
    Episode("failures", 1200, 200, 1, 25),
    Episode("spray", 900, 300, 1, 16),
    Episode("deletions", 1300, 60, 1, 6),
    Episode("spike", 1400, 30, 2, 210),
]

BEHAVIOUR = BehaviourSettings(
    params=HalfSpaceTreesParams(trees=5, height=4, window=8, warm_up=8, guard=0.9),
    half_life_minutes=7,
    accept_after_minutes=3,
)


def told() -> str:
    """All that the four dimensions say of a stream, scores on arrival and a restart included."""
    out = []
    parts = disturbed(events(EPISODES, 1), 2, LATENESS, 0.02, 1)
    own = Threshold(id="own", by=("user", "ip"), where="failure", count=True, at_least=3)
    for number, name in enumerate(WATCHED):
        rules = of_entities((*default_rules(), own), name)
        if not rules:
            continue
        params = Params(0.05, 0.005, 10, 3, 0.9, 20, 20, 5)
        setup = Setup(rules, tuple(microseconds(rule.quiet) or 600_000_000 for rule in rules), params, 7)
        changed = {"behaviour": BEHAVIOUR} if name in ("ip", "endpoint", "user") else {}
        shard = shard_of(name, setup, **changed)
        for at, item in enumerate(items_of(parts, [17, 3, 50], [0, 1, 1])):
            scores = assess(shard, item, number)
            out += [repr(window) for window in windows_of(scores.windows)]
            out += [repr(message_of(finding.alert)) for finding in scores.findings]
            out += [
                f"{x!r}"
                for column in ("score", "quantile", "z", "severity")
                for x in getattr(scores.scores, column)[number].tolist()
            ]
            if at == 5:
                shard = shard_of(name, setup, 2, shard.snapshot(), **changed)
    return "\n".join(out)


def test_results_without_compilation_are_the_same():
    code = "import sys; from tests.test_uncompiled import told; sys.stdout.write(told())"
    plain = subprocess.run(
        [sys.executable, "-W", "ignore::RuntimeWarning", "-c", code],  # numpy warns where a hash is meant to wrap
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, cwd=os.path.dirname(os.path.dirname(__file__)),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    expected = told()
    assert "brute_force_user" in expected
    assert "traffic_spike_endpoint" in expected
    assert "own" in expected
    assert plain.stdout == expected
