"""A shard's log leads to the state that the shard had, through new files, and never to another one."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from flows import shard_log
from flows.durations import microseconds
from flows.errors import OutputError, Refused
from flows.generations import WAY_OUT
from flows.shard_log import SAFE_AFTER, ShardLog, frames, is_pointer
from models.detectors.half_space_trees import HalfSpaceTreesParams
from models.detectors.reservoir_ensemble import ReservoirEnsembleParams
from models.rules import default_rules, of_entities
from models.rules.threshold import Threshold
from models.windows.behaviour import BehaviourSettings
from models.windows.delta import Changes
from models.windows.saved import changes, replayed
from models.windows.shard import Shard
from tests.batches import assess
from tests.naive import Params
from tests.streams import Episode, Setup, disturbed, events
from tests.test_definitions import LATENESS, items_of, shard_of
from tests.test_holding import TOO_LARGE

EPISODES = [
    Episode("regular", 0, 1500, 1, 60),
    Episode("regular", 0, 1500, 2, 30),
    Episode("failures", 1200, 200, 1, 25),
    Episode("spray", 900, 300, 1, 16),
    Episode("deletions", 1300, 60, 1, 6),
    Episode("spike", 1400, 30, 2, 210),
]
OWN = Threshold(id="own", by=("user", "ip"), where="failure", count=True, at_least=3)
FOREST = HalfSpaceTreesParams(trees=5, height=4, window=8, warm_up=8, guard=0.9)
ENSEMBLE = ReservoirEnsembleParams(kept=32, among=16, trees=5, sample=16, first=4, warm_up=20, guard=0.9)


def setup_of(name: str) -> Setup:
    rules = of_entities((*default_rules(), OWN), name)
    quiet = tuple(microseconds(rule.quiet) or 600_000_000 for rule in rules)
    return Setup(rules, quiet, Params(0.05, 0.005, 10, 3, 0.9, 20, 20, 5), 7)


def save(log: ShardLog, shard: Shard, seen: Changes) -> tuple[bytes, Changes]:
    seen = Changes() if log.due else seen
    return log.append(changes(shard, seen)), seen


@pytest.mark.parametrize("name", ["user", "ip", "endpoint"])
@pytest.mark.parametrize("most", [3, 512])
def test_every_pointer_leads_to_its_own_state(
    name: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_log, "MOST_FRAMES", most)
    params = ENSEMBLE if name == "ip" else FOREST
    behaviour = BehaviourSettings(params=params, half_life_minutes=7, accept_after_minutes=3)
    setup, limits = setup_of(name), {"max_records": 90, "max_rings": 40, "behaviour": behaviour}
    shard = shard_of(name, setup, **limits)
    log, seen = ShardLog(tmp_path, 1, 2), Changes()
    saved: list[tuple[bytes, bytes]] = []
    for number, item in enumerate(items_of(disturbed(events(EPISODES, 1), 2, LATENESS, 0.02, 1), [9], [0, 1, 1])):
        assess(shard, item, shard.dimension)
        if number == 20:  # as after a restart: under another secret, in a log that goes on
            shard = shard_of(name, setup, 2, shard.snapshot(), **limits)
            log = ShardLog(tmp_path, 1, 2)
        pointer, seen = save(log, shard, seen)
        saved.append((pointer, shard.snapshot()))
        for old, state in saved[-SAFE_AFTER:]:
            assert is_pointer(old)
            assert replayed(frames(tmp_path, old)) == state
    assert len(saved) > 25
    files = sorted(int(path.suffix[1:]) for path in tmp_path.iterdir())
    assert len(files) <= (1 + SAFE_AFTER if most == 3 else 1)
    assert files[-1] == 2 or most == 3
    assert shard_of(name, setup, 3, replayed(frames(tmp_path, saved[-1][0])), **limits)


def filled(folder: Path) -> tuple[ShardLog, list[bytes]]:
    """A log of three frames that any shard could have written."""
    log = ShardLog(folder, 0, 0)
    return log, [log.append(bytes([n]) * 100) for n in range(3)]


def test_any_bit_that_turns_is_seen(tmp_path: Path) -> None:
    _, pointers = filled(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    assert [one[:1] for one in frames(tmp_path, pointers[-1])] == [b"\0", b"\1", b"\2"]
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(Refused) as caught:
            list(frames(tmp_path, pointers[-1]))
        assert str(caught.value).startswith(f"{path}: is damaged")
        assert str(caught.value).endswith(WAY_OUT)


def test_a_file_that_is_shorter_gone_or_longer(tmp_path: Path) -> None:
    log, pointers = filled(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + b"a torn frame")
    assert len(list(frames(tmp_path, pointers[-1]))) == 3
    with pytest.raises(OutputError, match=r"0-0\.1: somebody else has written to it"):
        log.append(b"more")
    path.write_bytes(whole[:-1])
    assert len(list(frames(tmp_path, pointers[-2]))) == 2
    with pytest.raises(Refused, match=r"0-0\.1: is damaged"):
        list(frames(tmp_path, pointers[-1]))
    path.unlink()
    with pytest.raises(Refused, match=r"0-0\.1: is missing"):
        list(frames(tmp_path, pointers[-1]))


@pytest.mark.parametrize("number", [0, 1])
def test_a_pointer_that_is_none(number: int, tmp_path: Path) -> None:
    _, pointers = filled(tmp_path)
    damaged = (pointers[0][:-9], pointers[0].replace(b"0-0.1", b"../.1"))[number]
    with pytest.raises(Refused, match="a pointer into it is"):
        list(frames(tmp_path, damaged))


def test_files_of_before_stay_until_nobody_can_come_back_to_them(tmp_path: Path) -> None:
    _, pointers = filled(tmp_path)
    other = tmp_path / "0-1.9"
    other.write_bytes(b"of another shard")
    log = ShardLog(tmp_path, 0, 0)
    for n in range(1, SAFE_AFTER + 1):
        assert len(list(frames(tmp_path, pointers[-1]))) == 3
        assert (tmp_path / "0-0.1").exists()
        log.append(b"%d" % n)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-0.2", "0-1.9"]


def test_shards_that_begin_together_do_not_all_write_whole_together(tmp_path: Path) -> None:
    logs = [ShardLog(tmp_path, dimension, shard) for dimension in range(4) for shard in range(4)]
    began: dict[int, int] = {}
    for log in logs:
        whole, epoch = b"x", 0
        log.append(whole)
        while not log.due:
            epoch += 1
            log.append(b"")
        began[epoch] = began.get(epoch, 0) + 1
    assert max(began.values()) <= 2
    assert max(began) <= shard_log.MOST_FRAMES


_FULL = """
import resource, sys
from pathlib import Path
from flows.errors import OutputError
from flows.shard_log import ShardLog
log = ShardLog(Path(sys.argv[1]), 0, 0)
log.append(b"small")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
try:
    import os
    log.append(os.urandom(1000))
except OutputError as error:
    print(error)
"""


def test_no_room(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", _FULL, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/0-0.1: {TOO_LARGE}\n"
