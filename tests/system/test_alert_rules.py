"""The alert rules, by Prometheus' own tool (Debian package `prometheus`)."""

import shutil

import pytest

from tests.command import ROOT, run

FOLDER = ROOT / "deploy" / "prometheus"


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "lapwing.rules.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "lapwing.rules.test.yml"),
    ],
)
def test_promtool_takes_them(words: tuple[str, ...]) -> None:
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: apt-get install prometheus"
    done = run(tool, *words, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
