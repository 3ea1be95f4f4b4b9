"""State directories as this version and those before wrote them: each goes on as if nothing had come between.

`pytest tests/test_golden_state.py --update-golden` writes the one of this version anew; the older ones stay.
"""

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from flows.generations import generations
from flows.state_identity import read_identity, written_by
from models.base import OLDEST_SNAPSHOT, SNAPSHOT
from tests import golden_state
from tests.flow_under_test import Results, results, same

GOLDEN = Path(__file__).parent / "golden" / "state"
FILES = tuple(f"layout-{layout}.tar.xz" for layout in range(OLDEST_SNAPSHOT, SNAPSHOT + 1))


@pytest.fixture(scope="module", autouse=True)
def _updated(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        golden_state.make(GOLDEN / FILES[-1])


GUARDED_TAUGHT_SILENCE = 6
"""Up to this layout: what a guarded window left of a baseline is therefore another number now."""
_OF_BASELINES = ("score", "quantile", "expected", "config_hash")
_SAYS_WHAT_WAS_EXPECTED = ("message", "anomaly_analyses", "unmapped")


def without_baselines(found: Results, folder: Path) -> Results:
    """All but the numbers that hang on the baselines."""
    contents = {
        key: {name: value for name, value in alert.items() if name not in _SAYS_WHAT_WAS_EXPECTED}
        for key, alert in found.contents.items()
    }
    return replace(golden_state.without(found, folder, ("levels", *_OF_BASELINES)), contents=contents)


def unpacked(name: str, to: Path) -> Path:
    with tarfile.open(GOLDEN / name) as packed:
        packed.extractall(to, filter="data")
    return to


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One run over both halves that nothing interrupts."""
    folder = unpacked(FILES[-1], tmp_path_factory.mktemp("whole"))
    golden_state.add_more(folder)
    golden_state.detect(folder, "--close", state="whole", out="all")
    return results(folder / "all")


def test_there_is_one_of_every_layout_that_is_read() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_golden_state_goes_on(name: str, expected: Results, tmp_path: Path) -> None:
    folder = unpacked(name, tmp_path)
    golden_state.add_more(folder)
    before = {path.name: path.read_bytes() for path in (folder / "state" / "recovery").iterdir()}
    golden_state.detect(folder, "--close")
    found = results(folder / "out")
    if FILES.index(name) + OLDEST_SNAPSHOT <= GUARDED_TAUGHT_SILENCE:
        found, expected = (without_baselines(each, folder / "out") for each in (found, expected))
    else:
        found, expected = (golden_state.without_levels(each, folder / "out") for each in (found, expected))
    same(found, expected)
    identity = read_identity(folder / "state")
    assert identity is not None
    assert identity["layout"] == str(SNAPSHOT)
    assert written_by(folder / "state")
    kept = [one for one in generations(folder / "state") if one.why == "upgrade"]
    assert len(kept) == (name != FILES[-1])
    for one in kept:
        assert {path.name: path.read_bytes() for path in (one.path / "recovery").iterdir()} == before
