"""`make demo-kafka`, shorter."""

import sys
from pathlib import Path

from tests.command import run


def test_alerts_are_printed_and_compared(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.kafka.demo", "--events", "20000", "--rate", "5000", "--folder", tmp_path]
    done = run(*command)
    said = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "  High      " in said
    assert "attacks detected" in said
    assert (tmp_path / "alerts.ndjson").read_bytes().count(b"\n") >= said.count("  High      ")
