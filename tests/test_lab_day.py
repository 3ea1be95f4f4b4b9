"""The day that notebooks open on: it comes with them, and appears whole whoever else makes it at the same time."""

from pathlib import Path

import pytest

from flows import durable, kernels_cache, lab, query


def test_the_day_that_comes_with_the_notebooks_is_of_this_version_and_its_defaults(tmp_path: Path) -> None:
    assert lab.bundled().is_file(), "make lab-day packs it anew"
    durable.place(tmp_path / "day", lab.unpack)
    assert query.incidents(str(tmp_path / "day"))
    assert query.windows(str(tmp_path / "day")).num_rows > 1_000


def test_what_a_notebook_needs_is_compiled_once_before_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels_cache, "prepare", lambda: tmp_path)
    lab.make_ready("explore")
    assert not lab.ready("explore"), "without the day it did not come to the end"
    durable.place(lab.day(), lab.unpack)
    lab.make_ready("explore")
    assert lab.ready("explore")
    assert not lab.ready("investigate")


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
