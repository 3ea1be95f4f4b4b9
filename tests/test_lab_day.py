"""The day that notebooks open on: it comes with them, and appears whole whoever else makes it at the same time."""

import json
import subprocess
import sys
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from flows import durable, kernels_cache, lab, query
from flows.kept_scores import keep, kept_or_scored
from flows.score import scores_of


def test_the_day_that_comes_with_the_notebooks_is_of_this_version_and_its_defaults(tmp_path: Path) -> None:
    assert lab.bundled().is_file(), "make lab-day packs it anew"
    durable.place(tmp_path / "day", lab.unpack)
    assert query.incidents(str(tmp_path / "day"))
    assert query.windows(str(tmp_path / "day")).num_rows > 1_000


@pytest.mark.parametrize("detector", lab.DETECTORS)
def test_the_scores_that_come_with_the_day_are_what_detectors_say_of_it(tmp_path: Path, detector: str) -> None:
    durable.place(tmp_path / "day", lab.unpack)
    table = str(tmp_path / "day" / "windows.parquet")
    kept = kept_or_scored(table, detector, lab.COLUMNS)
    fresh = scores_of(table, detector, columns=lab.COLUMNS)
    assert isnan(kept.seconds), "make lab-day packs it anew"
    assert not isnan(fresh.seconds)
    np.testing.assert_allclose(kept.scores, fresh.scores, rtol=1e-6)
    np.testing.assert_allclose(kept.quantiles, fresh.quantiles, rtol=1e-6)
    assert kept.table.names == fresh.table.names
    assert not isnan(kept_or_scored(table, detector, lab.COLUMNS[:2]).seconds), "of other columns nothing is kept"


def test_scores_of_another_table_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n2\n3\n")
    keep(path, ["ewma"], ["a"])
    assert isnan(kept_or_scored(str(path), "ewma", ["a"]).seconds)
    path.write_text("a\n1\n2\n4\n")
    assert not isnan(kept_or_scored(str(path), "ewma", ["a"]).seconds)


def test_until_the_kernels_are_compiled_events_are_read_by_their_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels_cache, "prepare", lambda: tmp_path)
    assert lab.uncompiled("explore")
    assert not lab.uncompiled("tune")
    durable.place(lab.day(), lab.unpack)
    lab.compile_reading()
    assert not lab.uncompiled("explore")
    one = query.incidents(str(lab.day()))[0]
    asked = str(lab.day()), one.tenant, one.dimension, one.entity, one.start, one.end + 1
    script = "import json, sys\nfrom flows import query\nprint(json.dumps(query.events(*json.loads(sys.argv[1]))))"
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(asked)], env=lab.environment(interpreted=True), capture_output=True,
        check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == query.events(*asked) != []
    assert done.stderr == b""


def test_of_two_that_make_it_at_once_one_is_taken_and_nothing_else_stays(tmp_path: Path) -> None:
    def fill(draft: Path) -> None:
        durable.place(tmp_path / "day", lambda other: (other / "first").touch())
        (draft / "second").touch()

    durable.place(tmp_path / "day", fill)
    assert [path.name for path in tmp_path.rglob("*")] == ["day", "first"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(draft: Path) -> None:
        (draft / "half").touch()
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        durable.place(tmp_path / "day", fill)
    assert not list(tmp_path.iterdir())
