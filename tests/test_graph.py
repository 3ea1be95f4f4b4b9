"""The flow's graph: step ids are what saved state is found by, so another id is another state."""

import json
import threading

from bytewax.visualize import to_json

from flows.config import load
from flows.detect import build
from flows.parts import make_source
from flows.totals import Totals

STEPS = [
    "source", "split", "assess", "by_source", "gather", "seen", "to_decide", "decide", "seen_alerts", "encode_alerts",
    "alerts", "encode_suppressed", "suppressed", "encode_actions", "actions",
    "encode_scored", "scored", "encode_dead", "dead_letters", "closed_windows", "windows",
]  # fmt: skip


def step_ids(output: str, tmp_path) -> list[str]:
    (tmp_path / "events.ndjson").write_bytes(b"")
    config = load(None)
    source = make_source(config, str(tmp_path / "events.ndjson"), threading.Event(), close_at_end=True)
    flow = build(config, source, output, kept=True, totals=Totals())
    graph = json.loads(to_json(flow))
    assert graph["flow_id"] == "lapwing_detect"
    return [step["step_id"] for step in graph["substeps"]]


def test_step_ids_to_a_directory(tmp_path):
    assert step_ids(str(tmp_path / "out"), tmp_path) == [f"lapwing_detect.{step}" for step in STEPS]


def test_step_ids_to_standard_output(tmp_path):
    assert step_ids("-", tmp_path) == [f"lapwing_detect.{step}" for step in STEPS[:11]]
