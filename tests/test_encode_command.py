"""`lapwing encode`: lines in, lines out."""

import json
from pathlib import Path

from tests import siem_parsers
from tests.command import lapwing
from tests.siem_docs import alert_record, scored_record
from tests.test_ocsf import EVENT

ALERT = alert_record(evidences=(EVENT,))
SCORED = scored_record(EVENT | {"user_agent": "a|b=c\nCEF:0|"})


def test_lines_in_lines_out(tmp_path: Path) -> None:
    (tmp_path / "both.ndjson").write_bytes(ALERT + b"\n" + SCORED + b"\r\n" + scored_record(EVENT, risk=None))
    done = lapwing("encode", tmp_path / "both.ndjson", "--to", "cef")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().split("\n")
    assert [siem_parsers.cef(line)[0][4] for line in lines[:-1]] == ["brute_force_ip", "event.login", "event.login"]
    assert lines[-1] == ""
    done = lapwing("encode", tmp_path / "both.ndjson", "--to", "hec", "--min-risk", "70", "--slim")
    [line] = done.stdout.splitlines()
    assert json.loads(line)["event"].keys() == {"time", "id", "tenant", "lapwing"}


def test_a_bad_line_is_told_and_counted() -> None:
    done = lapwing("encode", "-", "--to", "ecs", input=b"bad\x1b[2J\n" + ALERT + b'\n{"lapwing":1}\n\n')
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    said = done.stderr.decode().splitlines()
    assert [line.split(":")[2] for line in said[:3]] == [" line 1", " line 3", " line 4"]
    assert said[-1] == "lapwing: stdin: 3 of 4 lines could not be encoded"
    done = lapwing("encode", "-", "--to", "ecs", input=b"{}\n" * 50)
    assert len(done.stderr.splitlines()) == 11


def test_wrong_usage() -> None:
    done = lapwing("encode", "-", "--to", "cef", "--min-risk", "101", stdin=-3)
    assert (done.returncode, done.stderr) == (2, b"lapwing: --min-risk 101 is none: a risk runs from 0 to 100\n")
    assert lapwing("encode", "-", "--to", "xml", stdin=-3).returncode == 2
    done = lapwing("encode", "no/such.ndjson", "--to", "cef")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.count(b"\n") == 1
